"""The `whoholds` command: `run` a program, `report` on journals, `dump` a process, `top`, ask a `server`, and more."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from whoholds.commands.pictures import asked
from whoholds.text.redact import redact
from whoholds.text.streams import AUTO, CHOICES, forget, say, show_everything
from whoholds.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code; 2 is a wrong command line."""
    show_everything(sys.stdout, sys.stderr)
    try:
        return _code_of(argv)
    finally:
        _settle(sys.stderr)


def _code_of(argv: Sequence[str] | None) -> int:
    try:
        try:
            options = parser().parse_args(argv)
            if options.command == "run":
                from whoholds.commands.run import run

                return run(options, options.wrong)
            if sys.stdout is None and options.command != "report":  # it was closed before the start
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as we run
            return _COMMANDS[options.command](options)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # the reader has read enough, such as `| head`
        forget(sys.stdout)
        return 0
    except OSError as error:  # a full disk
        say(f"whoholds: stdout: {error.strerror or error}")
        forget(sys.stdout)
        return 2


def _settle(stream: Any) -> None:
    """Write what is left in the stream. If it cannot be written, it changes no exit code when the interpreter ends."""
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):  # None, full or closed
        forget(stream)


def _help(options: argparse.Namespace) -> int:
    options.show_help()
    return 0


def _report(options: argparse.Namespace) -> int:
    from whoholds.commands.report import report

    if asked(options) and (options.rule or options.since):
        options.wrong(f"--{next(iter(asked(options)))} draws the whole run: it takes no --rule and no --since")
    if options.handles and not options.json:
        options.wrong("--handles takes --json beside it")
    form = "json" if options.json else next(iter(asked(options)), "")
    if options.github and form:
        options.wrong(f"--github prints lines after the report: it takes no --{form}")
    return report(
        options.journal,
        verbose=options.verbose,
        rules=options.rule,
        since=options.since,
        as_json=options.json,
        handles=options.handles,
        color=options.color,
        pictures=asked(options),
        github=options.github,
    )


def _doctor(options: argparse.Namespace) -> int:
    from whoholds.commands.doctor import doctor

    return doctor(options.color)


def _server(options: argparse.Namespace) -> int:
    from whoholds.commands.server import print_sql, server

    if options.print_sql:
        if options.json or options.watch is not None:
            say("whoholds: --print-sql prints SQL, once: it takes no --json and no --watch")
            return 2
        return print_sql(options.dsn)
    return server(options.dsn, as_json=options.json, watch=options.watch, color=options.color)


def _attach(options: argparse.Namespace) -> int:
    from whoholds.commands.attach import attach

    return attach(options)


def _dump(options: argparse.Namespace) -> int:
    from whoholds.commands.dump import dump

    return dump(options.pid, as_json=options.json, wait=options.wait, color=options.color)


def _top(options: argparse.Namespace) -> int:
    from whoholds.commands.top import top

    return top(once=options.once, wanted=options.filter)


def _completion(options: argparse.Namespace) -> int:
    from whoholds.commands.completion import completion

    return completion(options.shell, parser())


_COMMANDS = {
    None: _help,
    "report": _report,
    "attach": _attach,
    "dump": _dump,
    "top": _top,
    "server": _server,
    "doctor": _doctor,
    "completion": _completion,
}


_EXAMPLES = """\
examples:
  WHOHOLDS=1 python app.py                  watch a program; findings go to its log, or to stderr
  whoholds run app.py                       the same for one run, with a summary at its end
  whoholds run uvicorn shop:app             a console script on the PATH
  whoholds run --fail -m shop.nightly       exit with 3 if a finding is an error, for CI
  whoholds run --journal run.jsonl app.py   keep the run; then: whoholds report run.jsonl
  whoholds report --since 10m run.jsonl     what was reported in the last ten minutes
  whoholds report run.jsonl --html run.html draw it: one HTML file, to be looked at in a browser
  whoholds dump 4711                        who holds what now in process 4711, which is being watched
  whoholds attach --once 4711               the same in a process that is not watched, on Python 3.14 and later
  whoholds top                              all watched processes of this machine, each second
  whoholds server postgresql://host/shop    who holds the connections of that server, on every host
  whoholds doctor                           is it active here, and if not, why

Settings are environment variables that begin with WHOHOLDS_, or stand in [tool.whoholds] of pyproject.toml;
`whoholds doctor` lists them.
"""
_RUN_USAGE = "whoholds run [options] script | -m module | -c code | console-script [args …]"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """As argparse says it, but without the password of a DSN in the wrong place. Exits with 2 always."""
        if sys.stderr is not None:  # None if it was closed before the start; argparse would take stdout
            with suppress(OSError):
                super().error(redact(message))
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, from which the help and the shells' completion come, too."""
    whole = _Parser(
        prog="whoholds",
        description="Who holds my database connections? The line, the thread or task, and the line that started it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.set_defaults(show_help=whole.print_help)
    whole.add_argument("-V", "--version", action="version", version=f"whoholds {VERSION}")
    names = "run | report | attach | dump | top | server | doctor | completion"
    commands = whole.add_subparsers(dest="command", metavar=names)
    _run_options(commands.add_parser("run", help="run a Python program and watch it", usage=_RUN_USAGE))
    _report_options(commands.add_parser("report", help="print what journals say"))
    _attach_options(commands.add_parser("attach", help="watch a process that runs already, or look at it once"))
    _dump_options(commands.add_parser("dump", help="print what a watched process holds now"))
    _top_options(commands.add_parser("top", help="show all watched processes of this machine, each second"))
    _server_options(commands.add_parser("server", help="ask a database server who holds its connections"))
    commands.add_parser("doctor", help="say whether whoholds is active here, why not, and what it watches")
    for name, command in commands.choices.items():
        command.set_defaults(wrong=command.error)
        if name == "top":  # its text is plain, and its screen has the colours of the terminal
            continue
        command.add_argument(
            "--color", choices=CHOICES, default=AUTO, help="auto, the default: in a terminal, unless NO_COLOR is set"
        )
    shells = commands.add_parser("completion", help="print a completion script for a shell", epilog=_INSTALL)
    shells.formatter_class = argparse.RawDescriptionHelpFormatter
    shells.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")
    return whole


_INSTALL = """\
to switch it on:
  bash   eval "$(whoholds completion bash)"       in ~/.bashrc
  zsh    eval "$(whoholds completion zsh)"        in ~/.zshrc, after compinit
  fish   whoholds completion fish > ~/.config/fish/completions/whoholds.fish
"""


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("takes the path of a file, got nothing")
    return text


_FILE: dict[str, Any] = {"type": _path, "metavar": "FILE"}


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--journal", **_FILE, help="keep the run as JSON lines; {pid} and {host} are filled in")
    run.add_argument("--html", **_FILE, help="draw the run: one HTML file that needs no network")
    run.add_argument("--perfetto", **_FILE, help="write the run as a trace for Perfetto, Chrome or vizviewer")
    _hosts_options(run, run)
    run.add_argument(
        "--fail", action="store_true", help="exit with 3 if a finding is an error, and the program did not fail"
    )
    run.add_argument("--baseline", **_FILE, help="exit with 3 if there is a finding that FILE does not know")
    run.add_argument("--update-baseline", action="store_true", help="write the findings of this run to the baseline")
    run.add_argument("-v", "--verbose", action="store_true", help="print findings of severity info, too")
    kinds = run.add_mutually_exclusive_group()
    kinds.add_argument("-m", dest="module", action="store_true", help="the target is a module, as with python -m")
    kinds.add_argument("-c", dest="code", action="store_true", help="the target is Python code, as with python -c")
    run.add_argument("target", help="a script, or the name of a Python console script on the PATH")
    run.add_argument("args", nargs=argparse.REMAINDER, help="the program's own arguments").required = False


def _hosts_options(files: argparse._ActionsContainer, lines: argparse._ActionsContainer) -> None:
    files.add_argument("--sarif", **_FILE, help="write the findings as a SARIF log, for code scanning")
    files.add_argument("--gitlab", **_FILE, help="write the findings as GitLab's code quality report")
    lines.add_argument("--github", action="store_true", help="print annotations for GitHub Actions, too")


def _report_options(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "journal",
        nargs="+",
        type=_path,
        help="a journal, as WHOHOLDS_JOURNAL names it, or a pattern such as 'runs/*.jsonl'; {pid} and {host} match all",
    )
    report.add_argument(
        "--rule", action="append", default=[], metavar="RULE", help="only findings of this rule; may be given again"
    )
    report.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="only findings reported since then: a time such as 2026-11-26T06:30, local unless it has an offset, "
        "or 90s, 10m, 2h, 1d ago",
    )
    forms = report.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print one JSON object, of the form in docs/findings.md")
    forms.add_argument("--html", **_FILE, help="draw the whole run: one HTML file that needs no network")
    forms.add_argument("--perfetto", **_FILE, help="write the run as a trace for Perfetto, Chrome or vizviewer")
    _hosts_options(forms, report)
    report.add_argument("--handles", action="store_true", help="with --json: also each connection, with its times")
    report.add_argument("-v", "--verbose", action="store_true", help="print findings of severity info, too")


def _attach_options(attach: argparse.ArgumentParser) -> None:
    attach.add_argument("pid", type=_pid, help="the number of the process, which runs the same Python, 3.14 or later")
    ways = attach.add_mutually_exclusive_group()
    ways.add_argument("--once", action="store_true", help="print what it holds, and leave nothing behind in it")
    ways.add_argument("--stop", action="store_true", help="take its watch out again")
    attach.add_argument("--json", action="store_true", help="print one JSON object, of the form in docs/dump.md")
    attach.add_argument(
        "--wait", type=_seconds, metavar="SECONDS", help="for its main thread to run Python code, by default 10"
    )


def _dump_options(dump: argparse.ArgumentParser) -> None:
    dump.add_argument("pid", type=_pid, help="the number of the process; in a container, the number that it has there")
    dump.add_argument("--json", action="store_true", help="print one JSON object, of the form in docs/dump.md")
    dump.add_argument(
        "--wait", type=_seconds, metavar="SECONDS", help="how long to wait for the answer; by default 5 seconds"
    )


def _top_options(top: argparse.ArgumentParser) -> None:
    top.add_argument("--once", action="store_true", help="print it once, as plain text")
    top.add_argument("--filter", default="", metavar="TEXT", help="only the rows that contain TEXT")


def _pid(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"takes the number of a process, not {text!r}")
    return int(text)


def _server_options(server: argparse.ArgumentParser) -> None:
    server.add_argument("dsn", help="postgresql://user@host/name, mysql://user@host/name, or 'host=… dbname=…'")
    server.add_argument("--json", action="store_true", help="print one JSON object, of the form in docs/server.md")
    server.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=5.0,
        metavar="SECONDS",
        help="look again every 5 seconds, or SECONDS; write it after the DSN",
    )
    server.add_argument(
        "--print-sql", action="store_true", help="ask nobody, and print the SQL that creates its queries as views"
    )


_LONGEST = 86400.0  # seconds


def _seconds(text: str) -> float:
    takes = "takes a number of seconds greater than 0"
    try:
        seconds = float(text)
    except ValueError:
        where = "; write it after the DSN" if "://" in text or "=" in text else ""
        raise argparse.ArgumentTypeError(f"{takes}{where}") from None  # without the text: a DSN may have a password
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{takes}, {_LONGEST:g} at most")
    return seconds


def _moment(text: str) -> datetime:
    from whoholds.commands.report import moment

    try:
        return moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
