"""Who may see the page, and under which headers an answer goes out: the same by ASGI and by WSGI."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.asking import LOCAL, ask
from whoholds.web.access import FORWARDED

HERE = ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1")
ELSEWHERE = (
    "10.0.0.5",
    "192.168.1.2",
    "172.17.0.1",
    "203.0.113.9",
    "fe80::1%eth0",
    "::",
    "0.0.0.0",
    "localhost",
    "127.1",
)
OWN_NAMES = ("localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000")
FOREIGN_NAMES = (
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost:80:80",
    "localhost,evil.example",
    "localhost\t",
    "user@localhost",
    "[::1",
    "0.0.0.0",
    "2130706433",
    "shop.internal",
    "",
)


@pytest.mark.parametrize("client", HERE)
def test_a_client_on_this_machine_sees_it(kind: str, client: str) -> None:
    """By any address of the loopback interface."""
    assert ask(kind, client=client).status == 200


@pytest.mark.parametrize("client", [*ELSEWHERE, "", None])
def test_any_other_client_is_refused(kind: str, client: str | None) -> None:
    """Also one without an address, as behind a Unix socket; and the answer says how to decide oneself."""
    got = ask(kind, client=client)
    assert (got.status, got.headers["content-type"]) == (403, "text/plain; charset=utf-8")
    assert (client or "an address that is not known") in got.text
    given = "scope" if kind == "asgi" else "environ"
    assert f"pass a predicate where you mount it: whoholds.web.{kind}(allow=lambda {given}: …)" in got.text


@pytest.mark.parametrize("name", [name + "for" if name.endswith("-") else name for name in FORWARDED])
def test_a_forwarded_request_is_refused(kind: str, name: str) -> None:
    """Whatever the header says: one proxy writes its client's address, another none."""
    for value in ("127.0.0.1", "10.0.0.5", ""):
        got = ask(kind, {name: value})
        assert got.status == 403
        assert f"A proxy forwarded this request: it has the header {name}." in got.text


def test_a_header_is_known_in_every_spelling(kind: str) -> None:
    """Capitals, and the underscores that some servers pass on."""
    for name in ("X-Forwarded-For", "X_Forwarded_For", "FORWARDED", "x_real_ip"):
        assert ask(kind, {name: "127.0.0.1"}).status == 403


def test_what_speaks_as_a_proxy_does_is_refused(kind: str) -> None:
    """A proxy that adds no header, such as nginx before 1.29.7 with nothing but `proxy_pass`, asks in HTTP/1.0."""
    got = ask(kind, version="1.0")
    assert (got.status, "HTTP/1.0" in got.text) == (403, True)
    assert ask(kind, version="2").status == 200


@pytest.mark.parametrize("host", OWN_NAMES)
def test_the_names_of_this_machine_are_taken(kind: str, host: str) -> None:
    """With or without a port."""
    assert ask(kind, {"host": host}).status == 200


@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_a_foreign_name_is_refused(kind: str, host: str) -> None:
    """A browser sends it when a foreign page's name was made to lead here."""
    got = ask(kind, {"host": host})
    assert (got.status, "and not for localhost" in got.text) == (403, True)


def test_two_names_are_refused() -> None:
    """Two Host headers, of which one is ours."""
    import asyncio

    from tests.web.asking import answer_of, asgi_scope
    from whoholds import web

    scope = asgi_scope(dict(LOCAL), client="127.0.0.1", method="GET", query="", version="1.1")
    scope["headers"].append((b"host", b"evil.example"))
    assert asyncio.run(answer_of(web.asgi(), scope)).status == 403


def test_what_a_client_sends_is_shown_harmlessly(kind: str) -> None:
    """Cut, with its control characters visible, as plain text that nothing may guess a type for."""
    got = ask(kind, {"host": "\x1b[31m<script>" + "x" * 500})
    assert "\x1b" not in got.text
    assert "\\x1b[31m<script>x" in got.text
    assert len(got.text) < 600
    assert got.headers["x-content-type-options"] == "nosniff"


# --- the program's own predicate ----------------------------------------------------------------------------------------


def test_a_predicate_decides_alone(kind: str) -> None:
    """It gets the scope or the environment, and none of our rules applies beside it."""
    given: list[Any] = []

    def allow(request: Any) -> bool:
        given.append(request)
        return True

    forwarded = {"host": "shop.example", "x-forwarded-for": "203.0.113.9"}
    assert ask(kind, forwarded, client="10.0.0.5", version="1.0", allow=allow).status == 200
    assert given[0]["REMOTE_ADDR" if kind == "wsgi" else "client"]
    got = ask(kind, allow=lambda _: False)
    assert (got.status, "The predicate returned False." in got.text) == (403, True)


async def _asynchronous(_: Any) -> bool:
    return True


@pytest.mark.parametrize("returned", [None, 1, "yes", 0, object()])
def test_only_true_is_true(kind: str, returned: object) -> None:
    """What somebody forgot to return, or a match object, opens nothing."""
    got = ask(kind, allow=lambda _: returned)
    assert (got.status, "must return True or False" in got.text) == (403, True)


def test_a_coroutine_is_not_true(kind: str) -> None:
    """And Python does not warn that nobody awaited it, which would fail here."""
    got = ask(kind, allow=_asynchronous)
    assert (got.status, "type coroutine" in got.text) == (403, True)


def test_a_predicate_that_raises_refuses(kind: str) -> None:
    """Its exception does not reach the server, and its text not the client."""
    got = ask(kind, allow=lambda _: 1 / 0)
    assert (got.status, "The predicate raised ZeroDivisionError." in got.text) == (403, True)
    assert "division" not in got.text


# --- headers and methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        {"query": "format=html"},
        {"query": "format=text"},
        {"query": "format=json"},
        {"query": "format=xml"},
        {"method": "POST"},
        {"client": "10.0.0.5"},
    ],
)
def test_every_answer_has_the_headers(kind: str, question: dict[str, Any]) -> None:
    """Nothing is kept, guessed, embedded, passed on or loaded; and there is no cookie."""
    got = ask(kind, **question)
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["referrer-policy"] == "no-referrer"
    assert got.headers["x-frame-options"] == "DENY"
    assert got.headers["cross-origin-resource-policy"] == "same-origin"
    assert got.headers["vary"] == "Accept"
    policy = got.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in got.headers["content-security-policy"]
    assert "set-cookie" not in got.headers
    assert not [name for name in got.headers if name.startswith("access-control-")]
    assert int(got.headers["content-length"]) == len(got.text.encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_it_takes_nothing(kind: str, method: str) -> None:
    """There is nothing to change."""
    got = ask(kind, method=method)
    assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_its_body(kind: str) -> None:
    """With the length that the body would have."""
    got = ask(kind, method="HEAD")
    assert (got.status, got.text) == (200, "")
    assert int(got.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "text/plain"),
        ("", "text/plain"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("text/*", "text/plain"),
        ("text/plain, text/html", "text/plain"),
        ("text/html;q=0, */*", "text/plain"),
        ("image/png", "text/plain"),
        ("text/html;q=wrong", "text/plain"),
        (";;,,q=", "text/plain"),
    ],
)
def test_accept_is_heeded(kind: str, accept: str, expected: str) -> None:
    """curl takes everything and gets text; a browser gets HTML; nonsense gets text."""
    assert ask(kind, {"accept": accept}).headers["content-type"] == f"{expected}; charset=utf-8"


def test_the_query_wins(kind: str) -> None:
    """As a link in the page asks; an unknown form is an error that names the forms."""
    browser = {"accept": "text/html"}
    assert ask(kind, browser, query="format=json").headers["content-type"].startswith("application/json")
    assert ask(kind, browser, query="x=1&format=text").headers["content-type"].startswith("text/plain")
    got = ask(kind, browser, query="format=xml")
    assert (got.status, got.text) == (400, "format takes html, text, json.\n")
