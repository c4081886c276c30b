"""Who may see the page: by default clients on this machine whom no proxy forwards, under a name of this machine.

The last rule is for browsers: a foreign page whose name is made to lead to 127.0.0.1 (DNS rebinding) may read answers
from there, but it sends its own name as Host.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

from whoholds.text.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from whoholds.web.exchange import Request

# Headers that proxies, balancers and content networks add; a name that ends in "-" stands for all that begin with it.
FORWARDED: Final = (
    "forwarded",
    "via",
    "x-forwarded-",
    "x-forwarded",
    "x-original-",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-proxyuser-ip",
    "x-envoy-",
    "x-azure-",
    "x-appengine-",
    "x-amzn-trace-id",
    "x-amz-cf-id",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "fastly-client-ip",
    "fly-client-ip",
)
LONGEST: Final = 100  # characters of a value that is shown
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_OLD: Final = ("0.9", "1.0")


def refusal(request: Request) -> str:
    """Why this request is refused, as a sentence; "" if it comes from this machine, directly, and by its name."""
    by = next((name for name, _ in request.headers if _forwards(name)), "")
    if by:  # asked first: a server that trusts the proxy gives the address in the header for the client's
        return f"A proxy forwarded this request: it has the header {_shown(by)}."
    if not is_loopback(request.client):
        came = f"from {_shown(request.client)}" if request.client else "from an address that is not known"
        return f"This request came {came}."
    if request.version in _OLD:
        return f"This request came as HTTP/{request.version}, as proxies send it. Browsers and curl send HTTP/1.1."
    hosts = request.values("host")
    if len(hosts) != 1 or not _is_local(hosts[0]):
        return f"This request asked for the host {', '.join(map(_shown, hosts)) or '(none)'}, and not for localhost."
    return ""


def verdict(allow: Callable[[Any], bool], given: Any) -> str:
    """Why the program's predicate refuses `given`, as a sentence; "" if it returns True. Never raises.

    A predicate that returns anything but a boolean refuses: a coroutine, for example, would count as true.
    """
    try:
        result: object = allow(given)
    except Exception as error:  # noqa: BLE001 - the program's own predicate; its request must get an answer
        return f"The predicate raised {type(error).__name__}."
    if result is True:
        return ""
    if result is False:
        return "The predicate returned False."
    close = getattr(result, "close", None)
    if close is not None and hasattr(result, "cr_code"):  # else Python warns that nobody awaited it
        close()
    return f"The predicate returned a value of type {type(result).__name__}, and must return True or False."


def is_loopback(address: str) -> bool:
    """Whether this is an address of this machine that no other machine can have: 127.0.0.0/8, ::1."""
    try:
        at = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = at.ipv4_mapped if isinstance(at, IPv6Address) else None
    return (mapped or at).is_loopback


def _forwards(name: str) -> bool:
    return any(name.startswith(known) if known.endswith("-") else name == known for known in FORWARDED)


def _is_local(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and (match[1].lower() == "localhost" or is_loopback(match[1].strip("[]")))


def _shown(text: str) -> str:
    return visible(text[:LONGEST])
