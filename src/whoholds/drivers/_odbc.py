"""What an ODBC connection string says of the database: for the drivers that connect by one."""

from __future__ import annotations

import re
from typing import Any

from whoholds.ledger.database import Database, database

_PART = re.compile(r"\s*([^=;]+?)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)")
# tcp:host\instance,port, as SQL Server's drivers take
_HOST_PORT = re.compile(r"(?:\w+:)?([^,\\]*)[^,]*(?:,\s*(\d+))?")
_USERS, _HOSTS = ("uid", "user", "username"), ("server", "servername", "host", "hostname", "addr", "address")
_NAMES = ("database", "db", "dbq", "dbname", "initial catalog", "dsn")
_SYSTEMS = (  # a part of the ODBC driver's name → OpenTelemetry's db.system.name
    ("sql server", "microsoft.sql_server"),
    ("freetds", "microsoft.sql_server"),
    ("sqlite", "sqlite"),
    ("postgres", "postgresql"),
    ("psqlodbc", "postgresql"),
    ("maria", "mysql"),
    ("mysql", "mysql"),
    ("oracle", "oracle.db"),
    ("db2", "ibm.db2"),
)


def target(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Database:
    """The Database that a connection string and its keywords name; the password is not looked at."""
    text = args[0] if args and type(args[0]) is str else ""
    said = {key.lower(): value.strip("{} ") for key, value in _PART.findall(text)}
    said |= {key.lower(): value for key, value in kwargs.items() if type(value) is str}
    place = _HOST_PORT.fullmatch(_first(said, _HOSTS))
    host, port = place.groups("") if place else ("", "")
    port = port or said.get("port", "")
    name = _first(said, _NAMES)
    return database(_system(said), _first(said, _USERS), host, int(port) if port.isdigit() else None, name)


def _first(said: dict[str, str], names: tuple[str, ...]) -> str:
    return next((said[name] for name in names if said.get(name)), "")


def _system(said: dict[str, str]) -> str:
    driver = said.get("driver", "").lower()
    return next((system for part, system in _SYSTEMS if part in driver), "other_sql")
