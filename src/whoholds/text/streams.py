"""How a text is written to a stream that cannot show all of its characters: none of it is lost.

Called by the thread that ticks, by commands and by the start; never in a hook.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing is not imported: interpreter start has no time for it
if TYPE_CHECKING:
    from typing import Any


def say(text: str) -> None:
    """Write `text` and a line's end to stderr. It never raises: stderr is the program's, and may be closed or None."""
    try:
        stream: Any = sys.stderr
        stream.write(shown_on(stream, f"{text}\n"))
        stream.flush()
    except Exception:  # noqa: BLE001, S110 - whatever the program has put there
        pass


def shown_on(stream: Any, text: str) -> str:
    """`text` as `stream` can take it: what its encoding lacks, like `×` in cp1251, is written as a backslash escape."""
    encoding = getattr(stream, "encoding", None)
    if type(encoding) is not str:  # a stream of text that encodes nothing, like io.StringIO
        return text
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # a class of the program's own, with a name of its own for its encoding
        return text
    return text


def show_everything(*streams: Any) -> None:
    """Let these streams, a command's own, write what their encoding lacks as backslash escapes, as stderr does."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and stream.errors == "strict":
            reconfigure(errors="backslashreplace")


def forget(stream: Any) -> None:
    """Let what is still in a stream's buffer go nowhere: the interpreter would try once more as it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (AttributeError, OSError, ValueError):  # no stream, or not one of a descriptor
        pass
