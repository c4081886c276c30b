"""What freed itself: noted by C calls alone, from the callback of a weak reference, and read at the next look.

No Python code of ours may run there. It would be the first to run after a signal that came while C worked, and what
the signal's handler raises in a weak reference's callback, or in one of `gc.callbacks`, is printed and lost. So each
callback is a chain of C functions, built once for each ledger:

    attrgetter("kept", "noted")(reference)      reads two properties of the reference, one after the other
        kept   append(reference), to a list
        noted  next(notes): `notes` maps C functions over endless iterators, and gives what they give to a queue

Without the GIL another thread's callback may come in between, so there each thread has a list of its own.

What must be known of the moment itself is noted with the reference: the stamp and the time, which thread that was,
which one collected then, who was active under the owner's ident, and whether the span of the opening still lived.
"""

from __future__ import annotations

from collections import defaultdict, deque
from functools import partial
from itertools import repeat
from operator import attrgetter, getitem
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import ref

from whoholds.ledger import cpython

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whoholds.ledger.handle import Handle

_NEVER = object()  # nothing equals it: an iterator with this end has none


class _Nobody:
    """What a weak reference that was dead from the beginning referred to."""


NO_SPAN: ref[Any] = ref(_Nobody())


if TYPE_CHECKING:

    class Reference(ref[Any]):
        """A weak reference to what was opened; it and its handle keep each other until the handle is closed."""

        handle: Handle
        span: ref[Any]  # to the span that was current at the opening; unset where there was none


# What was so at the moment in which something was freed, in the order of a note:
#   span        id of the span that `Reference.span` gave, of None where it was gone
#   thread      id of the Thread that was active under the ident of the handle's owner
#   stamp, at   of the ledger: the number of the end, and seconds of its clock
#   ident       of the thread that freed it
#   collecting  ident of the thread in which the collector worked, 0: in none
#   reference   whose object it was
Note: TypeAlias = "tuple[int, int, int, float, int, int, Reference]"
NOBODY = id(None)


class Ends:
    """Makes the references of a ledger, and keeps a note of each whose object was freed; its callbacks are C calls.

    `stamp` and `clock` are the ledger's. `callbacks` are for `gc.callbacks`. Changed from any thread, by C calls;
    `by_thread` says that threads run at once, by default where there is no GIL.
    """

    def __init__(self, stamp: Iterator[int], clock: Callable[[], float], *, by_thread: bool | None = None) -> None:
        by_thread = not cpython.has_gil() if by_thread is None else by_thread
        self._ident = ident = cpython.real_ident()
        self._collecting = {0: 0}  # {0: the thread in which the collector works}
        self._threads: dict[int, dict[int, Any]] = {0: {}}  # {0: threading._active}
        self._notes: deque[Any] = deque()  # partials, whose arguments are a Note: what C makes of many values
        self._incoming = incoming = _IncomingByThread(ident) if by_thread else _Incoming()
        newest = incoming.newest
        owners = map(attrgetter("handle.owner"), newest)
        active = map(
            dict.get,  # type: ignore[arg-type]  # of the dict and the ident that the next two give
            iter(partial(self._threads.get, 0), _NEVER),
            map(getattr, owners, repeat("ident"), repeat(0)),
        )
        spans = map(ref.__call__, map(getattr, newest, repeat("span"), repeat(NO_SPAN)))
        notes = map(
            partial,
            repeat(tuple),  # nobody calls it
            map(id, spans),
            map(id, active),
            stamp,
            iter(clock, _NEVER),
            iter(ident, _NEVER),
            iter(partial(self._collecting.get, 0), _NEVER),
            incoming.taken,  # the same: the others look at it
        )
        keeping = map(self._notes.append, notes)
        names = {
            "__slots__": ("handle", "span"),
            "kept": property(incoming.add),
            "noted": property(partial(next, keeping)),
        }
        self.reference: type[Reference] = type("Reference", (ref,), names)
        self.on_end: Callable[[Any], Any] = attrgetter("kept", "noted")
        note_phase = partial(self._collecting.__setitem__, 0)
        phases = {
            "start": property(partial(next, map(note_phase, iter(ident, _NEVER)))),
            "stop": property(partial(next, map(note_phase, repeat(0)))),
        }
        # called with (phase, info): `getattr(the object, phase, info)`
        self.callbacks: tuple[Callable[[str, Any], Any], ...] = (partial(getattr, type("Phases", (), phases)()),)
        self.see_threads()

    def see_threads(self) -> None:
        """Find `threading` where it is imported by now. Until then no owner has a Thread."""
        active = cpython.active_threads()
        if active is not None:
            self._threads[0] = active

    def collected_here(self) -> bool:
        """Whether the collector works in this thread now."""
        return self._collecting[0] == self._ident()

    def __bool__(self) -> bool:
        return bool(self._notes)

    def each(self) -> Iterator[Note]:
        """The notes, oldest first; each is forgotten once its turn is over, so that an exception loses none."""
        notes = self._notes
        while notes:
            try:
                note = notes[0]
            except IndexError:  # another look was faster
                return
            yield note.args
            try:
                notes.remove(note)
            except (ValueError, IndexError):  # likewise
                pass

    def clear(self) -> None:
        """In a forked child: what was freed before is the parent's to tell."""
        self._notes.clear()
        self._incoming.clear()


class _Incoming:
    """The references whose notes are being made: one, or several where a callback interrupts another's.

    `add(reference)` adds one; the endless iterators `newest` and `taken` give the last, and `taken` takes it away.
    """

    def __init__(self) -> None:
        references: list[Any] = []
        self.add: Callable[[Reference], Any] = references.append
        self.newest: Iterator[Reference] = iter(partial[Any](getitem, references, -1), _NEVER)
        self.taken: Iterator[Reference] = iter(references.pop, _NEVER)
        self.clear: Callable[[], None] = references.clear


class _IncomingByThread(_Incoming):
    """The same with a list for each thread, found by its ident at each step, likewise in C.

    The lists stay: the system gives the idents of ended threads out again.
    """

    def __init__(self, ident: Callable[[], int]) -> None:
        by_thread: defaultdict[int, list[Reference]] = defaultdict(list)

        def mine() -> Iterator[list[Reference]]:
            return map(getitem, repeat(by_thread), iter(ident, _NEVER))

        # called with a reference: Python asks the class for `__call__`, and gets `append` of this thread's list
        adding = property(partial(next, map(attrgetter("append"), mine())))
        self.add = type("Adding", (), {"__call__": adding})()
        self.newest = map(getitem, mine(), repeat(-1))
        self.taken = map(list.pop, mine())
        self.clear = by_thread.clear
