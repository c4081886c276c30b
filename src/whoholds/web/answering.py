"""The answer to a request: a refusal at once, or the page, which takes a look and so some time."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from whoholds.ledger import faults
from whoholds.web import access
from whoholds.web.exchange import TYPES, Answer, Request, wanted

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS: Final = ("GET", "HEAD")
WHO_MAY: Final = "whoholds shows this page only to clients on this machine whom no proxy forwards."
HOW: Final = (
    "To decide yourself who sees it, pass a predicate where you mount it: whoholds.web.{kind}(allow=lambda {given}: …)."
)


def answer(
    request: Request, allow: Callable[[Any], bool] | None, given: Any, kind: str
) -> Answer | Callable[[], Answer]:
    """The answer if it is at hand, otherwise a call that makes it, which never raises.

    `given` is what the predicate `allow` takes: the scope if `kind` is `asgi`, the environment if it is `wsgi`.
    """
    why = access.refusal(request) if allow is None else access.verdict(allow, given)
    if why:
        how = HOW.format(kind=kind, given="scope" if kind == "asgi" else "environ")
        lines = [WHO_MAY, why, how] if allow is None else ["The program that mounted this page refuses.", why]
        return Answer.of_text(HTTPStatus.FORBIDDEN, "\n".join(lines))
    if request.method not in METHODS:
        allowed = ", ".join(METHODS)
        return Answer.of_text(HTTPStatus.METHOD_NOT_ALLOWED, f"This page takes {allowed}.", ("Allow", allowed))
    form = wanted(request)
    if not form:
        return Answer.of_text(HTTPStatus.BAD_REQUEST, f"format takes {', '.join(TYPES)}.")
    return partial(_page, form)


def _page(form: str) -> Answer:
    try:
        from whoholds.web.page import page

        return page(form)
    except Exception as error:  # noqa: BLE001 - our fault must not become the program's
        faults.note(error, "whoholds.web")
        why = f"whoholds could not make this page: {type(error).__name__}."
        return Answer.of_text(HTTPStatus.INTERNAL_SERVER_ERROR, why)
