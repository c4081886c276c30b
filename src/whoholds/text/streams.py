"""How a text is written to a stream that lacks some of its characters, so that nothing of the text is lost.

Called by the thread that ticks, by commands and by the start; it must never be called in a hook.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any


AUTO, ALWAYS, NEVER = CHOICES = ("auto", "always", "never")  # what --color takes
COLOR_OF_RUN = "_WHOHOLDS_COLOR"  # set by `whoholds run --color` for the program's reports


def say(text: str, severity: str = "", *, color: str = "") -> None:
    """Write `text` and a line end to stderr, in colour if it is a terminal. `severity` is that of a finding.

    A command gives its own `color`, one of `CHOICES`. It never raises: stderr may be closed, full, gone or None.
    Nothing is written if the program has closed the descriptor and got its number for a file or connection of its
    own: those are not passed on to child processes.
    """
    try:
        stream: Any = sys.stderr
        own = os.name == "posix" and stream is sys.__stderr__ and stream is not None
        if own and not os.get_inheritable(stream.fileno()):
            return
        choice = color or os.environ.get(COLOR_OF_RUN, AUTO)
        text = in_color(text, severity) if has_color(stream, choice, forced=bool(color)) else text
        text = shown_on(stream, f"{text}\n")
        if own:
            _write(stream, text)
        else:
            stream.write(text)
            stream.flush()
    except Exception:  # noqa: BLE001, S110 - whatever the program has put there
        pass


def _write(stream: Any, text: str) -> None:
    """Write `text` to Python's own stderr, past its buffer. Raises OSError if it is full or gone.

    The buffer keeps what it cannot write. When the interpreter ends, it tries again, fails and makes 120 of the
    program's exit code.
    """
    stream.flush()
    data = text.encode(stream.encoding, stream.errors)
    while data:
        data = data[os.write(stream.fileno(), data) :]


def print_on(stream: Any, text: str, color: str = AUTO, severity: str = "") -> None:
    """Write `text` and a line end to a command's own `stream`, in colour if `color` (one of `CHOICES`) lets it be.

    `severity` is that of a finding. Raises what the stream raises.
    """
    text = in_color(text, severity) if has_color(stream, color) else text
    stream.write(shown_on(stream, f"{text}\n"))


def shown_on(stream: Any, text: str) -> str:
    """`text` as `stream` can write it: characters that its encoding lacks, like `×` in cp1251, become escapes."""
    encoding = getattr(stream, "encoding", None)
    if type(encoding) is not str:  # a text stream without an encoding, like io.StringIO
        return text
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # a stream class of the program's with an unknown name for its encoding
        return text
    return text


def has_color(stream: Any, choice: str = AUTO, *, forced: bool = True) -> bool:
    """Whether a text on `stream` is shown in colour: if it is a terminal, and neither NO_COLOR nor TERM=dumb is set.

    `forced` is false for the stderr of a program that is watched: with FORCE_COLOR, which CI sets for its logs, a pipe
    or file stays plain there all the same. `choice` is one of `CHOICES`, of which the last two decide alone.
    """
    if choice in (ALWAYS, NEVER):
        return choice == ALWAYS
    if os.environ.get("NO_COLOR"):
        return False
    if forced and os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("TERM") == "dumb" or (os.name == "nt" and not os.environ.keys() & {"WT_SESSION", "TERM"}):
        return False
    # another class may copy what it gets into a log
    return type(stream) is type(sys.__stderr__) and stream is not None and os.isatty(stream.fileno())


def in_color(text: str, severity: str = "") -> str:
    """`text` with colours; `severity` is that of a finding."""
    from whoholds.text.paint import painted  # only a terminal needs it

    return painted(text, severity)


def show_everything(*streams: Any) -> None:
    """Let these streams, a command's own, write characters that their encoding lacks as escapes, as stderr does."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and stream.errors == "strict":
            reconfigure(errors="backslashreplace")


def forget(stream: Any) -> None:
    """Discard the text still in a stream's buffer, which the interpreter would try to write again as it ends."""
    try:
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, descriptor)
        finally:
            os.close(nowhere)
    except (AttributeError, OSError, ValueError):  # not a stream, or a stream without a descriptor
        pass
