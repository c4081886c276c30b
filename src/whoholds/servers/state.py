"""What a server says of its connections at one moment, as values."""

from __future__ import annotations

import re
from typing import NamedTuple

from whoholds.text.redact import redact
from whoholds.text.visible import visible

IDLE_IN_TRANSACTION = "idle in transaction"
RUNNING = "running"
IDLE = "idle"
HIDDEN = "hidden"
# of clients of PgBouncer
WAITING = "waiting for a server connection"
HOLDING = "holding a server connection"

TAG = re.compile(r"(?P<program>.+): (?P<place>\S.*:\d+|Cell In\[\d+\], line \d+) (?P<function>\S+)")


class Holder(NamedTuple):
    """The holder of one connection, as its process has said. Lines have the form `shop/cars.py:42 in load_cars`."""

    process: int  # its number on this machine
    kind: str  # `connection`, or `checkout` of a pool's
    opened: str  # the line that opened or borrowed it
    owner: str  # the name of the thread or task
    work: str  # the request or job, or ""
    now: str  # the line where the owner is, or ""
    held_s: float


class Session(NamedTuple):
    """One connection to the server. Durations are in seconds, and None where the server does not tell them."""

    pid: int
    name: str  # what the program is called there: `application_name`, or the attribute `program_name`
    user: str
    database: str
    host: str  # "" for a local socket, or where it is hidden
    state: str  # one of the words above
    state_s: float | None
    age_s: float | None
    blocked_by: tuple[int, ...] = ()
    holder: Holder | None = None  # where a watched process of this machine has it, and has said so

    @property
    def line(self) -> str:
        """The opening line in the name that `WHOHOLDS_TAG=1` has given, as `shop/cars.py:42 in load_cars`; or ""."""
        match = TAG.fullmatch(self.name)
        return f"{match['place']} in {match['function']}" if match else ""

    @property
    def program(self) -> str:
        """The program in that name; of other names the whole name."""
        match = TAG.fullmatch(self.name)
        return match["program"] if match else self.name


class Reserve(NamedTuple):
    """Slots that only some may take."""

    slots: int
    whom: str  # "superusers"


class Limit(NamedTuple):
    """How many connections a role, a user or a database may have."""

    kind: str
    name: str
    allowed: int
    used: int
    noun: str = ""  # what is counted, if that is not a connection to this server

    @property
    def sentence(self) -> str:
        """The limit as a reader gets it: `The role app may have 2, and has 1.`, and whether it is reached."""
        full = ", and so can open no more" if self.used >= self.allowed else ""
        noun = f" {self.noun}" if self.noun else ""
        return f"The {self.kind} {shown(self.name)} may have {self.allowed}{noun}, and has {self.used}{full}."


class State(NamedTuple):
    """The server at one moment. `sessions` are the connections of clients that it shows, without the asking one."""

    server: str  # "PostgreSQL 16.2"
    where: str  # user@host:port/name
    slots: int
    used: int  # also those that it does not show, and the asking one
    reserves: tuple[Reserve, ...]
    limits: tuple[Limit, ...]
    sessions: tuple[Session, ...]
    hidden: int  # connections of which it does not tell this user more than that they exist
    no_transactions: bool  # it does not know, or tell this user, who is in a transaction, and who blocks whom
    rights: str  # what to do to see all that; "" if nothing helps
    can_end: str  # the statement that ends one, with {} for its pid
    noun: str = "connections"  # what has the slots
    order: str = "Who holds the connections, those that are idle in a transaction first"
    numbered: bool = True  # whether clients know their connections by the same numbers; not behind a pooler
    remarks: tuple[str, ...] = ()  # lines on what cannot be known here, and whom to ask

    @property
    def free(self) -> int:
        """Slots that everybody can still take."""
        return max(self.slots - sum(reserve.slots for reserve in self.reserves) - self.used, 0)


def shown(text: str) -> str:
    """Text that any client may have chosen: no control characters, no secrets."""
    return visible(redact(text))
