"""`whoholds dump PID`: who holds what now in a process that is being watched."""

from __future__ import annotations

import json
import sys

from whoholds.remote.asking import OTHER_FORM, answer_of
from whoholds.remote.exchange import NoAnswer, tidy_at_signals
from whoholds.reporting.held import description_text
from whoholds.text.streams import AUTO, NEVER, print_on, say


def dump(pid: int, *, as_json: bool = False, wait: float | None = None, color: str = AUTO) -> int:
    """Print what the process `pid` holds now, as text or as the JSON object of docs/dump.md.

    Returns 0, or 1 if it did not answer; why is said on stderr.
    """
    try:
        with tidy_at_signals():
            answer = answer_of(pid, wait)
        text = json.dumps(answer, indent=1) if as_json else description_text(answer)
    except KeyboardInterrupt:
        return 130
    except NoAnswer as error:
        say(f"whoholds: {error}")
        return 1
    except OTHER_FORM as error:
        why = (
            f"process {pid} answered in another form ({type(error).__name__}): ask with the whoholds that it runs with"
        )
        say(f"whoholds: {why}")
        return 1
    print_on(sys.stdout, text, NEVER if as_json else color)
    return 0
