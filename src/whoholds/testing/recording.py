"""A run kept as plain values, look by look, to be judged again: with other limits or detectors, or elsewhere.

It is for authors of rules, and for whoever examines a finding that seems wrong. It must keep no object of the
program's: of code it keeps only names and lines, of threads and tasks only what the looks saw of them.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from array import array
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import ref

from whoholds.analysis.pauses import Pauses
from whoholds.analysis.sites import Sites
from whoholds.detectors import ALL
from whoholds.ledger.handle import Loan
from whoholds.ledger.ledger import Ledger
from whoholds.ledger.owner import Spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from whoholds.analysis.finding import Finding
    from whoholds.analysis.snapshot import Snapshot
    from whoholds.plugins import Detector
    from whoholds.settings.limits import Limits

_PLAIN = ("builtins", "collections", "whoholds")  # the top-level packages whose values are kept


class Recording:
    """The snapshot of each look of a watch, in `looks`: bytes that another process with this version can read.

    Give it to `Watch(detectors={"recording": recording, **ALL})`, before all others: it is a detector that finds
    nothing and keeps the snapshots that it gets. `found` returns what the detectors find in them.
    """

    def __init__(self, looks: list[bytes] | None = None) -> None:
        self.looks = looks if looks is not None else []

    def __call__(self, snapshot: Snapshot, limits: Limits) -> tuple[()]:
        """Keep the snapshot. Called by the thread that ticks."""
        del limits
        self.looks.append(kept(snapshot))
        return ()

    def found(self, limits: Limits, detectors: Mapping[str, Detector] = ALL) -> list[list[Finding]]:
        """The findings of `detectors` under `limits`, a list for each look, before ignore rules and unmerged.

        The recording says which handles a rule had already named at a look. A handle that these limits would have
        named earlier is therefore found again at each later look.
        """
        judged = []
        for look in self.looks:
            snapshot = restored(look)
            judged.append([finding for detector in detectors.values() for finding in detector(snapshot, limits)])
        return judged


def kept(snapshot: Snapshot) -> bytes:
    """The snapshot with its history, handles, owners and lines as bytes, without the program's own objects."""
    stream = io.BytesIO()
    _Keeper(stream, pickle.HIGHEST_PROTOCOL).dump(snapshot)
    return stream.getvalue()


def restored(look: bytes) -> Snapshot:
    """The snapshot for which `kept` returned these bytes. Only for bytes of your own: they name code to be run."""
    snapshot: Snapshot = pickle.loads(look)  # noqa: S301 - the docstring says whose bytes
    return snapshot


class _Keeper(pickle.Pickler):
    """Pickles values of whoholds and of Python's own plain types; any other value becomes None."""

    def reducer_override(self, value: Any) -> Any:
        """How `value` is pickled. Called by pickle for each value that is not of a plain type."""
        if isinstance(value, type) or (isinstance(value, FunctionType) and value.__module__ == __name__):
            return NotImplemented  # by its name
        how = _HOWS.get(type(value))
        if how is not None:
            return how(value)
        if isinstance(value, ref):
            referent = value()
            return (_Referent, (referent,)) if _is_plain(referent) else (_nothing, ())
        return NotImplemented if _is_plain(value) and not callable(value) else (_nothing, ())


def _by_slots(value: Any) -> Any:
    """How a value is pickled here by all its slots.

    A Spawn's own way is for a spawned process, and keeps lines only; some slots of a Loan are its class's constants.
    """
    kind: Any = type(value)
    slots = [name for base in kind.__mro__[:-1] for name in base.__slots__ if name not in vars(kind) or base is kind]
    state = {name: getattr(value, name) for name in slots if name != "__weakref__" and hasattr(value, name)}
    return copyreg.__newobj__, (kind,), (None, state)  # type: ignore[attr-defined]


_HOWS: dict[type, Callable[[Any], Any]] = {
    CodeType: lambda code: (_code, (code.co_filename, code.co_name, code.co_firstlineno, code.co_linetable)),
    Sites: lambda sites: (_sites, (sites.source, list(sites))),
    Ledger: lambda _: (_nothing, ()),
    Pauses: lambda _: (Pauses, ()),  # who judges it again makes none
    Spawn: _by_slots,
    Loan: _by_slots,
    array: lambda numbers: (_array, (numbers.typecode, numbers.tobytes())),
}


class _Referent:
    """Stands in for a weak reference: a call returns the value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return self.value


def _is_plain(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in _PLAIN


def _code(file: str, name: str, first_line: int, lines: bytes) -> CodeType:
    """A code object with this name and these lines, and nothing else of the program's: no constants, no bytecode."""
    return _nothing.__code__.replace(
        co_filename=file, co_name=name, co_firstlineno=first_line, co_linetable=lines, co_consts=(None,)
    )


def _array(typecode: str, data: bytes) -> array[Any]:
    return array(typecode, data)


def _sites(source: bool, sites: list[Any]) -> Sites:  # noqa: FBT001 - as pickle calls it
    return Sites.restored(sites, source=source)


def _nothing() -> None:
    return None
