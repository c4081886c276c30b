"""Request and Answer: what the page needs of a request, and what it sends, the same for ASGI and WSGI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http import HTTPStatus

HTML, TEXT, JSON = "html", "text", "json"
TYPES: Final = {HTML: "text/html", TEXT: "text/plain", JSON: "application/json"}  # in the order of preference

_QUALITY: Final = re.compile(r"[01](\.[0-9]{0,3})?")
NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"  # a policy under which nothing is loaded
_EVERYWHERE: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Vary", "Accept"),
)


@dataclass(frozen=True)
class Request:
    """One request. The names of `headers` are in lower case, with hyphens only, and may occur more than once."""

    method: str
    client: str  # the address; "" if it is not known, as of a client at a Unix socket
    version: str  # of HTTP: "1.1"
    headers: tuple[tuple[str, str], ...]
    query: str = ""

    def values(self, name: str) -> list[str]:
        """All values of the header `name`."""
        return [value for known, value in self.headers if known == name]


@dataclass(frozen=True)
class Answer:
    """One answer. `policy` is the content security policy of its body."""

    status: HTTPStatus
    body: bytes
    type: str = TEXT
    policy: str = NOTHING
    more: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_text(cls, status: HTTPStatus, text: str, *more: tuple[str, str]) -> Answer:
        """An answer in plain text."""
        return cls(status, f"{text}\n".encode("utf-8", "backslashreplace"), more=more)

    @property
    def headers(self) -> Iterator[tuple[str, str]]:
        """The headers, with those that forbid a browser to keep, guess, embed or pass on anything."""
        yield "Content-Type", f"{TYPES[self.type]}; charset=utf-8"
        yield "Content-Length", str(len(self.body))
        yield "Content-Security-Policy", f"{self.policy}; frame-ancestors 'none'"
        yield from _EVERYWHERE
        yield from self.more


def wanted(request: Request) -> str:
    """The type of answer that the request asks for, by `?format=` or by Accept; "" if `?format=` names no type.

    A client that takes everything, as curl does by default, gets plain text.
    """
    named = parse_qs(request.query).get("format", [])
    if named:
        return named[-1] if named[-1] in TYPES else ""
    accepted = dict(_ranges(",".join(request.values("accept"))))

    def quality(kind: str) -> tuple[float, int]:
        name = TYPES[kind]
        patterns = (name, f"{name.partition('/')[0]}/*", "*/*")
        place = next((place for place, pattern in enumerate(patterns) if pattern in accepted), None)
        at = accepted[patterns[place]] if place is not None else 0.0
        return (at, -(place or 0)) if at else (0.0, -len(patterns))  # the more precise of two that are as welcome

    return max((TEXT, HTML, JSON), key=quality)


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """The media ranges of an Accept header, each with its quality."""
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        given = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        yield name, float(given) if _QUALITY.fullmatch(given) else 0.0
