"""For tests, without pytest too: a clock to advance, a DB-API module that connects to nothing. Importing it patches nothing."""

from __future__ import annotations

from whoholds.fakes import FakeClock, fake_dbapi

__all__ = ["FakeClock", "fake_dbapi"]
