"""A loan of psycopg2.pool, told by one function for each half, with the questions and guards of whoholds.

`bench/instructions.py` counts it: it shows what whoholds pays for having one lender for all pools, and one ledger for all
drivers, where each of these functions is of one pool alone and writes into the ledger's own tables.
"""

from __future__ import annotations

import _thread
import sys
import time
from typing import TYPE_CHECKING, Any

from whoholds.hooks.seams import stays_ours
from whoholds.ledger import here, origin
from whoholds.ledger import scope as scopes
from whoholds.ledger.handle import CLOSED, Handle, Loan
from whoholds.ledger.ledger import MANY

if TYPE_CHECKING:
    from whoholds.ledger.ledger import Ledger


def fused(base: Any, ledger: Ledger) -> Any:  # noqa: C901, PLR0915 - what is measured is that nothing is divided
    """A subclass of psycopg2's pool class `base`, which is watched, with the two functions in the hooks' place."""
    lends, takes = base._getconn.__wrapped__, base._putconn.__wrapped__
    now, frame_at = time.monotonic, sys._getframe
    owner_here, capture, nothing = here.current_owner, origin.capture_loan, here.at_closing

    def lend(self: Any, key: Any = None) -> Any:  # noqa: C901, PLR0915 - the point of it
        loan: Any = None
        result = None
        try:
            try:
                ours = self._whoholds_pool
                loan = Loan()
                loan.owner = owner_here()
                loan.origin = capture(frame_at(1), ledger._frames_of_loan)
                loan.pool = ours
                loan.ref = loan.context = loan.scope = None
                loan.closed_at = loan.closed_stamp = loan.calls_after = None
                loan.site = loan.kept = loan.referrer = None
                loan.looked_at = loan.inherited = loan.at_home = False
                loan.told = loan.caller = loan.user = 0
                loan.lost_s = 0.0
                loan.how = ""
                loan.made = ()
                loan.began = now()
            except Exception as error:  # noqa: BLE001 - as whoholds has it
                stays_ours(error, lends)
            result = lends(self, key)
            if loan is not None:
                try:
                    handle = result._whoholds
                    if handle is not None and (handle.loan is None or handle.loan.closed_stamp is not None):
                        if ours.closed:
                            ledger.pool_back(ours)
                        handle.at_home = False
                        handle.loan = loan
                        handle.pool = ours
                        loan.driver = "psycopg2.pool"
                        loan.database, loan.backend_pid = handle.database, handle.backend_pid
                        loan.calls, loan.calls_s = handle.calls, handle.calls_s
                        loan.parent = handle
                        quiet = ledger.quiet_ident
                        if ledger.active and not (quiet and _thread.get_ident() == quiet):
                            loan.ledger = ledger
                            if scopes.any_yet:
                                loan.scope = scopes.current(loan.owner)
                            count = len(ledger._open)
                            if count >= MANY:
                                loan.origin = origin.shared(loan.origin)
                            if here.current_context is not here.no_context:
                                loan.context = here.current_context()
                            loan.opened_at = loan.used_at = opened_at = now()
                            loan.opened_stamp = stamp = next(ledger._stamp)
                            if count < ledger.most or ledger._room():
                                ledger._open[stamp] = loan
                            ledger.on_opened()
                            loan.connect_s = opened_at - loan.began
                except Exception as error:  # noqa: BLE001 - likewise
                    stays_ours(error, lends)
        except BaseException:
            del self, key, loan, result
            raise
        return result

    def take(self: Any, conn: Any, key: Any = None, close: Any = False) -> Any:  # noqa: FBT002 - as the library has it
        result = None
        try:
            try:
                handle = conn._whoholds
                loan: Handle = handle.loan
                if loan is not None and loan.pool is self._whoholds_pool and loan.closed_stamp is None:
                    if loan.calls_after is None:
                        if handle.used_at > loan.used_at:  # noqa: PLR1730 - as in the ledger
                            loan.used_at = handle.used_at
                        loan.calls_s_after, loan.calls_after = handle.calls_s, handle.calls
                    loan.closed_at = now()
                    if here.at_closing is not nothing:
                        here.at_closing(loan)
                    loan.how = CLOSED
                    if loan.inherited:
                        ledger.used_in_child(loan, frame_at(1))
                    loan.closed_stamp = next(ledger._stamp)
                    loan.caller = 0
                    if ledger._open.pop(loan.opened_stamp, None) is not None:
                        ledger._ended.append(loan)
                        next(ledger._ends)
                    handle.at_home = True
            except Exception as error:  # noqa: BLE001 - likewise
                stays_ours(error, takes)
            result = takes(self, conn, key, close)
        except BaseException:
            del self, conn, key, close, result
            raise
        return result

    return type("Fused", (base,), {"_getconn": lend, "_putconn": take})
