"""Enters what is open already in the ledger: each connection with its database, its state, and who refers to it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from whoholds.adopting.referrers import MOST, Climb, Held
from whoholds.adopting.search import living
from whoholds.hooks.threads import pause
from whoholds.ledger import faults
from whoholds.ledger.adoptable import Adoptable, AdoptableStock, Keepers, Place
from whoholds.ledger.cpython import may_look_into, name_of_task, name_of_thread, thread_of
from whoholds.ledger.handle import CHECKOUT, CONNECTION, Handle, Pool
from whoholds.ledger.owner import Owner
from whoholds.ledger.referrer import Referrer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whoholds.ledger.database import Database
    from whoholds.ledger.ledger import Ledger

_MOMENT_S = 0.001  # in which another thread ends what it is in the middle of: a close, a constructor
_NOBODY = Held(Referrer("an object that cannot be seen"))
_NOT_ASKED = Held(Referrer(f"an object that was not looked for, beyond the first {MOST}"))


def adopt(ledger: Ledger, rows: Iterable[Adoptable | AdoptableStock]) -> int:
    """Enter every open connection of the libraries that `rows` tell how to read. Returns their number; never raises."""
    try:
        return _Adoption(ledger, list(rows)).run()
    except Exception as error:  # noqa: BLE001 - our fault must not become the program's: the watch works without it
        faults.note(error, "whoholds.adopt")
        return 0


class _Adoption:
    def __init__(self, ledger: Ledger, rows: list[Adoptable | AdoptableStock]) -> None:
        self.ledger = ledger
        self._kinds = [row for row in rows if isinstance(row, Adoptable)]
        self._stocks = [row for row in rows if isinstance(row, AdoptableStock)]
        self._owners: dict[int, Owner] = {}
        self._handles: dict[int, Handle] = {}  # by id of the connection
        self._unreferenced: dict[int, tuple[Handle, type, Adoptable]] = {}  # likewise, without a weak reference
        self._unseen: list[tuple[Handle, Adoptable]] = []  # those whose calls the hooks do not see

    def run(self) -> int:
        tasks = [kind for kind in map(_task_class, ("asyncio.tasks", "_asyncio")) if kind is not None]
        rows: list[Adoptable | AdoptableStock] = [*self._kinds, *self._stocks]
        wanted = [kind for row in rows for kind in row.types]
        if not wanted:
            return 0
        objects = living([*wanted, *tasks])
        known = self._known()  # other threads have opened since the drivers stand
        connections = [
            (row, one)
            for row in self._kinds
            for one in _instances(objects, row.types)
            if id(one) not in known and _opens(row, one)
        ]
        if not connections:
            return 0
        places = self._places(objects)
        pools = {id(place.pool): place.pool for _, place in places.values()}
        borrowed = {id(place.connection) for _, place in places.values() if place.lent}
        targets = [one for _, one in connections]
        asked = [*pools.values(), *targets]
        held = Climb().referrers_of(asked, borrowed=borrowed)
        held.update((id(one), _NOT_ASKED) for one in asked[MOST:])
        threads = self._tasks(_instances(objects, tuple(tasks))) if any(one.coroutine for one in held.values()) else {}
        ours: dict[int, Pool] = {}
        for row, one in connections:
            try:
                stock, place = places.get(id(one), (None, None))
                pool = None
                if stock is not None and place is not None:
                    pool = ours.get(id(place.pool))
                    if pool is None:
                        pool = ours[id(place.pool)] = self._pool(stock, place.pool, held.get(id(place.pool), _NOBODY))
                self._enter(row, one, held.get(id(one), _NOBODY), threads, stock, place, pool)
            except Exception as error:  # noqa: BLE001 - one that cannot be read must not hide the others
                faults.note(error, f"{row.driver}.adoptable")
        if self._unreferenced:
            self.ledger.look_for_ended = LookAgain(self.ledger, self._unreferenced)
        if self._unseen:
            self.ledger.lockouts.ask_adopted = partial(_ask, self._unseen)
        return len(self._handles)

    def _known(self) -> set[int]:
        """The ids of the connections that have a handle already."""
        things = [one.ref() for one in self.ledger.open_now() if one.kind == CONNECTION and one.ref is not None]
        return {id(thing) for thing in things if thing is not None}

    def _places(self, objects: list[Any]) -> dict[int, tuple[AdoptableStock, Place]]:
        """By id of each connection of a pool: its place there."""
        places: dict[int, tuple[AdoptableStock, Place]] = {}
        for stock in self._stocks:
            for one in _instances(objects, stock.types):
                try:
                    for place in _places_of(stock, one):
                        places[id(place.connection)] = (stock, place)
                except Exception as error:  # noqa: BLE001 - a version of the library that differs
                    faults.note(error, f"{stock.driver}.adoptable")
        return places

    def _pool(self, stock: AdoptableStock, theirs: Any, held: Held) -> Pool:
        known = self.ledger.pool_of(theirs)
        if known is not None:
            known.referrer = None if known.origin else held.referrer
            return known
        least, most = stock.sizes(theirs)
        pool = self.ledger.pool_made(theirs, stock.name(theirs), None, most, stock.system)
        pool.idle_min, pool.takes_back, pool.referrer = least, stock.takes_back, held.referrer
        keepers: Keepers | None = self.ledger.keepers.get(stock.driver)
        if keepers is not None and keepers.pool is not None:
            keepers.pool(theirs, pool)
        return pool

    def _enter(
        self,
        row: Adoptable,
        one: Any,
        held: Held,
        tasks: dict[int, Owner],
        stock: AdoptableStock | None,
        place: Place | None,
        pool: Pool | None,
    ) -> None:
        known = _read(row, one)
        if known is None:
            return
        where, pid, in_transaction = known
        if place is not None and stock is not None:
            place = _now(stock, place)  # other threads lend and take back while the search runs
        lent = place is not None and place.lent
        owner = self._owner(held, tasks) if lent or pool is None else None
        referrer = held.referrer if lent or pool is None else pool.referrer or held.referrer
        keepers: Keepers | None = self.ledger.keepers.get(row.driver)
        seen = keepers is not None and keepers.handle is not None and keepers.seen
        handle = self.ledger.adopt(CONNECTION, row.driver, where, one, referrer, owner=owner, pool=pool)
        handle.backend_pid, handle.at_home = pid, pool is not None and not lent
        handle.in_transaction = in_transaction
        self.ledger.ask_again(handle, partial(_is_closed, row), partial(_state, row) if not seen else None, seen=seen)
        if keepers is not None and keepers.handle is not None:
            keepers.handle(one, handle)
        self._remember(row, one, handle, seen=seen)
        if place is None or stock is None or pool is None:
            return
        stocks = self.ledger.keepers.get(stock.driver)
        if stocks is not None and stocks.stock is not None:
            stocks.stock(place, handle)
        before = stocks.lent(place) if stocks is not None and stocks.lent is not None else None
        if lent and (before is None or not before.open):
            loan = self.ledger.adopt(
                CHECKOUT, stock.driver, where, one, referrer, owner=owner, pool=pool, parent=handle
            )
            loan.backend_pid = pid
            if stocks is not None and stocks.loan is not None:
                stocks.loan(place, loan)
            if not _now(stock, place).lent and loan.open:  # it came back before the hooks knew of it
                handle.at_home = True
                self.ledger.closed(loan)

    def _remember(self, row: Adoptable, one: Any, handle: Handle, *, seen: bool) -> None:
        self._handles[id(one)] = handle
        if not seen:
            self._unseen.append((handle, row))
        if handle.ref is None:
            self._unreferenced[id(one)] = (handle, type(one), row)

    def _owner(self, held: Held, tasks: dict[int, Owner]) -> Owner | None:
        if held.coroutine:
            return tasks.get(held.coroutine)
        if not held.ident:
            return None
        owner = self._owners.get(held.ident)
        if owner is None:
            thread = thread_of(held.ident)
            name = name_of_thread(thread) if thread is not None else f"thread {held.ident}"
            owner = Owner("thread", name, ref(thread) if thread is not None else None, held.ident, None)
            owner.key = id(thread)
            self._owners[held.ident] = owner
        return owner

    def _tasks(self, tasks: Iterable[Any]) -> dict[int, Owner]:
        """The owners of suspended tasks, by id of their coroutines, of their frames, and of what they await."""
        owners: dict[int, Owner] = {}
        for task in tasks:
            owner = Owner("task", name_of_task(task), ref(task), 0, None)
            coroutine = task.get_coro() if may_look_into(task) else None
            for _ in range(50):
                if coroutine is None:
                    break
                owners[id(coroutine)] = owner
                owners[id(getattr(coroutine, "cr_frame", None) or coroutine)] = owner
                coroutine = getattr(coroutine, "cr_await", None)
        return owners


class LookAgain:
    """Looks again for adopted connections whose type takes no weak reference: sqlite3's own class.

    A look scans all objects. The next one comes no sooner than `EVERY_S` seconds later, and after so long that the
    scans take less than a thousandth of the time.
    """

    EVERY_S = 10.0
    SHARE = 1000

    def __init__(self, ledger: Ledger, open_: dict[int, tuple[Handle, type, Adoptable]]) -> None:
        self._ledger = ledger
        self._open = open_
        self._next = ledger.clock() + self.EVERY_S

    def __call__(self) -> list[Handle]:
        """The handles that have ended since the last scan, which is a new one only if it is time."""
        began = self._ledger.clock()
        if began < self._next or not self._open:
            return []
        there = {id(one): one for one in living({kind for _, kind, _ in self._open.values()})}
        ended = []
        for key, (handle, kind, row) in list(self._open.items()):
            one = there.get(key)
            if type(one) is not kind or not _opens(row, one):
                ended.append(handle)
                del self._open[key]
            else:
                handle.in_transaction = _state(row, one)
        now = self._ledger.clock()
        self._next = now + max(self.EVERY_S, self.SHARE * (now - began))
        return ended


def _task_class(module: str) -> Any:
    return getattr(sys.modules.get(module), "Task", None)


def _instances(objects: list[Any], types: tuple[type, ...]) -> list[Any]:
    return [one for one in objects if any(base in types for base in type(one).__mro__)]


def _now(stock: AdoptableStock, place: Place) -> Place:
    """The place as it is now; where its pool does not show it at this moment, as one at home."""
    for one in (place.at, place.connection, place.pool):
        if issubclass(type(one), stock.types):
            for now in _places_of(stock, one):
                if now.connection is place.connection:
                    return now
    return place._replace(lent=False)


def _opens(row: Adoptable, one: Any) -> bool:
    """Whether the connection is open; False where that cannot be read: it is half made."""
    try:
        return not row.is_closed(one)
    except Exception:  # noqa: BLE001 - an object whose constructor raised, or has not run yet
        return False


def _is_closed(row: Adoptable, one: Any) -> bool:
    return not _opens(row, one)


# Other threads close connections and make pools meanwhile. Whether a connection is open, and the rest that is asked of
# it, are two questions, and it may be closed between them: what then raises is no fault.


def _read(row: Adoptable, one: Any, *, again: bool = True) -> tuple[Database, int | None, bool | None] | None:
    """Where the connection leads, the server's process id, and its state; None if it was closed in the meantime."""
    try:
        return (*row.identify(one), row.in_transaction(one))
    except Exception:
        if not _opens(row, one):
            return None
        if not again:
            raise
    pause(_MOMENT_S)  # in the middle of a close, it may still count as open
    return _read(row, one, again=False)


def _state(row: Adoptable, one: Any) -> bool | None:
    """Whether a transaction is open on the connection; None where that cannot be read: a close may be under way."""
    try:
        return row.in_transaction(one)
    except Exception:  # noqa: BLE001 - the next look finds it closed
        return None


def _ask(unseen: list[tuple[Handle, Adoptable]]) -> None:
    """Read the states of connections whose calls nobody sees. A thread of the program that was locked out calls this.

    It reads attributes of Python objects, as a look does, and does not raise.
    """
    for handle, row in unseen:
        one = handle.ref() if handle.ref is not None else None
        if one is not None and handle.open:
            handle.in_transaction = _opens(row, one) and _state(row, one)


def _places_of(stock: AdoptableStock, one: Any, *, again: bool = True) -> list[Place]:
    """The places of a pool, or of a part of one."""
    try:
        return list(stock.places(one))
    except Exception:
        if not again:
            raise
    pause(_MOMENT_S)  # it is just being made
    return _places_of(stock, one, again=False)
