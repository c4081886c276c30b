"""`whoholds completion SHELL`: a completion script for bash, zsh or fish, made from the parser of the command line.

The scripts complete commands, options, their values and files by themselves; they never start Python. A library for
this (shtab, argcomplete) would be a dependency of every watched program, or an extra that nobody has installed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple

from whoholds.analysis.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE = "FILE"  # the metavar of an option whose value is a path
_CHOICES = {"RULE": tuple(RULES)}  # by metavar: what the value of an option may be


class Option(NamedTuple):
    """One option: how it is written, what it means, and its value: "" for none, else `FILE`, "text" or a choice."""

    flags: tuple[str, ...]
    means: str
    value: str
    choices: tuple[str, ...]


class Command(NamedTuple):
    """One command: what it does, its options, and the values of its argument; without any, these are files."""

    name: str
    means: str
    options: tuple[Option, ...]
    choices: tuple[str, ...]
    takes_files: bool
    has_arguments_of_its_own: bool  # whatever follows the first argument belongs to a program


def completion(shell: str, parser: argparse.ArgumentParser) -> int:
    """Print the script for that shell. Returns 0."""
    sys.stdout.write(SHELLS[shell](list(_commands(parser)), _options(parser)))
    return 0


def _commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    means = {action.dest: action.help or "" for action in subparsers._get_subactions()}
    for name, command in subparsers.choices.items():
        arguments = [action for action in command._actions if not action.option_strings]
        choices = tuple(str(choice) for action in arguments for choice in action.choices or ())
        rest = any(action.nargs == argparse.REMAINDER for action in arguments)
        yield Command(name, means.get(name, ""), _options(command), choices, bool(arguments) and not choices, rest)


def _options(parser: argparse.ArgumentParser) -> tuple[Option, ...]:
    """The options of a parser, which has no public list of them."""
    return tuple(_option(action) for action in parser._actions if action.option_strings)


def _option(action: argparse.Action) -> Option:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    choices = tuple(map(str, action.choices or ())) or _CHOICES.get(metavar, ())
    value = "" if action.nargs == 0 else "choice" if choices else FILE if metavar == FILE else "text"
    return Option(tuple(action.option_strings), action.help or "", value, choices)


def _bash(commands: list[Command], top: tuple[Option, ...]) -> str:
    """The script for bash 3.2 and later."""
    first = _lines_of_bash([*(command.name for command in commands), *_flags(top)])
    values: list[str] = []
    options: list[str] = []
    ends: list[str] = []
    for command in commands:
        for option in command.options:
            pattern = "|".join(shlex.quote(f"{command.name} {flag}") for flag in option.flags)
            if option.value == FILE:
                values.append(f'        {pattern}) COMPREPLY=($(compgen -f -- "$word")); return;;')
            elif option.value:
                words = _lines_of_bash(option.choices)
                values.append(f'        {pattern}) COMPREPLY=($(compgen -W {words} -- "$word")); return;;')
        words = _lines_of_bash(_flags(command.options))
        choices = _lines_of_bash(command.choices)
        options.append(f"        {command.name}) options={words}; choices={choices}; files={command.takes_files:d};;")
        if command.has_arguments_of_its_own:
            ends.append(command.name)
    valued = {flag for command in commands for option in command.options if option.value for flag in option.flags}
    with_values = "|".join(sorted(valued))
    return f"""\
# bash completion for whoholds, made by: whoholds completion bash
_whoholds() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="${{COMP_WORDS[1]}}"
    local IFS=$'\\n' options="" choices="" files=0 number=2
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {first} -- "$word"))
        return
    fi
    case "$command" in
        {"|".join(ends)})
            while [ "$number" -lt "$COMP_CWORD" ]; do
                case "${{COMP_WORDS[number]}}" in
                    {with_values})
                        [ "${{COMP_WORDS[number+1]}}" = "=" ] && number=$((number + 1))
                        number=$((number + 2));;
                    -*) number=$((number + 1));;
                    *) COMPREPLY=($(compgen -f -- "$word")); return;;
                esac
            done;;
    esac
    if [ "$word" = "=" ]; then
        word=""
    elif [ "$before" = "=" ]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}"
    fi
    case "$command $before" in
{chr(10).join(values)}
    esac
    case "$command" in
{chr(10).join(options)}
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word"));;
        *)
            COMPREPLY=($(compgen -W "$choices" -- "$word"))
            [ "$files" -eq 1 ] && COMPREPLY+=($(compgen -f -- "$word"));;
    esac
}}
complete -o filenames -o bashdefault -F _whoholds whoholds
"""


def _lines_of_bash(words: list[str] | tuple[str, ...]) -> str:
    return "$'" + "\\n".join(words) + "'"


def _flags(options: tuple[Option, ...]) -> list[str]:
    return [flag for option in options for flag in option.flags]


def _zsh(commands: list[Command], top: tuple[Option, ...]) -> str:
    """The script for zsh, to be sourced, or to be a file `_whoholds` in a folder of `$fpath`."""
    described = "\n".join(f"        {shlex.quote(f'{command.name}:{command.means}')}" for command in commands)
    cases = []
    for command in commands:
        lines = [line for option in command.options for line in _option_of_zsh(option)]
        if command.choices:
            lines.append(shlex.quote(f"1:argument:({' '.join(command.choices)})"))
        elif command.has_arguments_of_its_own:
            lines.append(shlex.quote("*::argument:_files"))
        elif command.takes_files:
            lines.append(shlex.quote("*:file:_files"))
        stop = " -S -A '-*'" if command.has_arguments_of_its_own else ""
        arguments = " \\\n            ".join(lines)
        cases.append(f"        {command.name}) _arguments -s{stop} \\\n            {arguments};;")
    flags = " ".join(_flags(top))
    return f"""\
#compdef whoholds
# zsh completion for whoholds, made by: whoholds completion zsh
_whoholds() {{
    local -a commands
    commands=(
{described}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        compadd -- {flags}
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{chr(10).join(cases)}
    esac
}}
if [ "$funcstack[1]" = "_whoholds" ]; then
    _whoholds "$@"
else
    compdef _whoholds whoholds
fi
"""


def _option_of_zsh(option: Option) -> list[str]:
    means = option.means.replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = {"": "", FILE: ":file:_files", "text": ":value:"}.get(option.value, f":value:({' '.join(option.choices)})")
    equals = {flag: "=" if option.value and flag.startswith("--") else "" for flag in option.flags}
    return [shlex.quote(f"{flag}{equals[flag]}[{means}]{value}") for flag in option.flags]


def _fish(commands: list[Command], top: tuple[Option, ...]) -> str:
    """The script for fish."""
    lines = ["# fish completion for whoholds, made by: whoholds completion fish", "complete -c whoholds -f"]
    lines += [f"complete -c whoholds -n __fish_use_subcommand {_option_of_fish(option)}" for option in top]
    for command in commands:
        lines.append(f"complete -c whoholds -n __fish_use_subcommand -a {command.name} -d {_quoted(command.means)}")
        seen = f"complete -c whoholds -n '__fish_seen_subcommand_from {command.name}'"
        lines += [f"{seen} {_option_of_fish(option)}" for option in command.options]
        if command.choices:
            lines.append(f"{seen} -a {_quoted(' '.join(command.choices))}")
        elif command.takes_files:
            lines.append(f"{seen} -F")
    return "\n".join(lines) + "\n"


def _option_of_fish(option: Option) -> str:
    parts = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    value = {"": "", FILE: " -r -F", "text": " -x"}.get(option.value, f" -x -a {_quoted(' '.join(option.choices))}")
    return f"{' '.join(parts)}{value} -d {_quoted(option.means)}"


def _quoted(text: str) -> str:
    """The text as fish and zsh read it in single quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[list[Command], tuple[Option, ...]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
