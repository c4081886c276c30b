"""For tests with any runner: blocks that must leak nothing or open few connections, a TestCase mixin, and fakes.

Importing this package patches nothing. The first block starts a watch if none runs; it lasts as long as the process.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the pytest plug-in imports this package, and needs neither blocks nor fakes
if TYPE_CHECKING:
    from whoholds.testing.blocks import LeakError, NoLeaksMixin, assert_max_connects, assert_max_open, assert_no_leaks
    from whoholds.testing.fakes import FakeClock, FakeServer, fake_dbapi
    from whoholds.testing.marking import marker

__all__ = [
    "FakeClock",
    "FakeServer",
    "LeakError",
    "NoLeaksMixin",
    "assert_max_connects",
    "assert_max_open",
    "assert_no_leaks",
    "fake_dbapi",
    "marker",
]

_ROOMS = {**dict.fromkeys(("FakeClock", "FakeServer", "fake_dbapi"), "fakes"), "marker": "marking"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'whoholds.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"whoholds.testing.{_ROOMS.get(name, 'blocks')}"), name)
