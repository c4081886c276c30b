"""`whoholds attach PID`: watch a process that was started without whoholds, or look at it once, or end its watch."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from whoholds.remote.asking import OTHER_FORM
from whoholds.remote.entering import NotEntered, enter
from whoholds.remote.exchange import tidy_at_signals
from whoholds.reporting.held import held_text
from whoholds.reporting.words import number_of
from whoholds.text.redact import redact
from whoholds.text.streams import AUTO, NEVER, print_on, say
from whoholds.text.visible import visible

if TYPE_CHECKING:
    from argparse import Namespace

WAIT_S = 10.0


def attach(options: Namespace) -> int:
    """Do what the options say. Returns 0, or 1 if the process could not be entered; why is said on stderr."""
    pid: int = options.pid
    what = "once" if options.once else "stop" if options.stop else "watch"
    try:
        with tidy_at_signals():
            answer = enter(pid, what, WAIT_S if options.wait is None else options.wait)
    except KeyboardInterrupt:
        return 130
    except NotEntered as error:
        say(f"whoholds: {visible(str(error))}")
        return 1
    try:
        text, code = (json.dumps(answer, indent=1), 0) if options.json else _in_words(pid, answer)
    except OTHER_FORM as error:
        say(f"whoholds: process {pid} answered in another form ({type(error).__name__}): it has another whoholds")
        return 1
    if code:
        say(f"whoholds: {visible(text)}")
        return code
    text = text if options.json else visible(text, lines=True)
    print_on(sys.stdout, text, NEVER if options.json else getattr(options, "color", AUTO))
    return 0


def _in_words(pid: int, answer: dict[str, Any]) -> tuple[str, int]:
    """The answer as a text, and the exit code. Raises what is in `OTHER_FORM` for an answer of another form."""
    words = {"holders": _holders, "started": _started, "stopped": _stopped}
    return words.get(answer.get("type", ""), _not_done)(pid, answer)


def _holders(pid: int, answer: dict[str, Any]) -> tuple[str, int]:
    process = answer["process"]
    how = "it is being watched" if answer["watched"] else "seen once; nothing was left in it"
    last = f"whoholds: process {pid} on {process['host']}, Python {process['python']}: {how}"
    return f"{held_text(answer['databases'], answer['pools'], answer['held'])}\n{last}", 0


def _started(pid: int, answer: dict[str, Any]) -> tuple[str, int]:
    already = number_of(answer["adopted"], "connection")
    lines = [f"whoholds: process {pid} is watched now; it had {already} open already"]
    if not answer["wrapt"]:
        lines.append("whoholds: wrapt cannot be imported in it: modules of WHOHOLDS_WATCH are not watched")
    ask, end = f"`whoholds dump {pid}`", f"`whoholds attach --stop {pid}`"
    lines.append(f"whoholds: its log has the findings; {ask} asks it, {end} ends the watch")
    return "\n".join(lines), 0


def _stopped(pid: int, answer: dict[str, Any]) -> tuple[str, int]:
    findings = number_of(answer["findings"], "finding")
    return f"whoholds: process {pid} is watched no more; the last look brought {findings}", 0


def _not_done(pid: int, answer: dict[str, Any]) -> tuple[str, int]:
    if answer.get("type") == "watched":
        return f"process {pid} is watched already: `whoholds dump {pid}` asks it who holds what", 1
    if answer.get("type") == "unwatched":
        return f"process {pid} is not watched: there is nothing to stop", 1
    return redact(f"process {pid} could not do it: {answer.get('reason')}"), 1
