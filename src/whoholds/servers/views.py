"""The questions of `whoholds server` as SQL views, for dashboards: made of the same queries, so that both say the same.

Each connection is a row of `whoholds_connections`; `whoholds_slots` counts them by program, opening line and state.
PostgreSQL's `whoholds_allowed` has one row with the number of slots that everybody may take; a view of MySQL must not
read a setting, and there it is `SELECT @@max_connections`.
"""

from __future__ import annotations

import re
from textwrap import indent

from whoholds.servers import mysql, postgres
from whoholds.servers.state import IDLE, IDLE_IN_TRANSACTION, RUNNING, TAG

_HEAD = """\
-- Who holds the server's connections, by opening line. Printed by `whoholds server {}:// --print-sql`.
-- {}
"""
_POSTGRES_HEAD = _HEAD.format(
    "postgresql", "Whoever reads the views needs the role pg_read_all_stats (or pg_monitor) to see what others do."
)
# The pattern of a name that `WHOHOLDS_TAG=1` gave; PostgreSQL's regular expressions have no named groups.
_POSTGRES_TAG = f"'^{re.sub(r'[?]P<[a-z]+>', '', TAG.pattern)}$'"
_POSTGRES_SPLIT = "coalesce(tag[1], name) AS program, coalesce(tag[2] || ' in ' || tag[3], '') AS opened"
# The slots are counted by whole names, and only these few are split: 2000 names would take the server 80 ms.
_POSTGRES = f"""\
CREATE OR REPLACE VIEW whoholds_sessions AS
{postgres.SESSIONS.strip()};

CREATE OR REPLACE VIEW whoholds_connections AS
SELECT pid, {_POSTGRES_SPLIT},
    host, usename, datname, state, state_s, age_s, blocked_by
FROM whoholds_sessions LEFT JOIN LATERAL regexp_match(name, {_POSTGRES_TAG}) AS tag ON true;

CREATE OR REPLACE VIEW whoholds_slots AS
SELECT {_POSTGRES_SPLIT},
    state, held, hosts, longest_s
FROM (
    SELECT name, state, count(*) AS held, count(DISTINCT host) AS hosts, max(state_s) AS longest_s
    FROM whoholds_sessions GROUP BY name, state
) AS names LEFT JOIN LATERAL regexp_match(name, {_POSTGRES_TAG}) AS tag ON true;

CREATE OR REPLACE VIEW whoholds_allowed AS
SELECT sum(CASE WHEN name = 'max_connections' THEN setting::int ELSE -setting::int END) AS allowed
FROM pg_settings WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections');
"""  # noqa: S608 - constants

_MYSQL_HEAD = _HEAD.format(
    "mysql", "Whoever creates and whoever reads the views needs PROCESS; opening lines need performance_schema=ON."
)
# The same pattern as far as all versions of MySQL and MariaDB can read it. The three parts are cut out without groups,
# which each of them writes in its own way.
_MYSQL_TAG = r"'^.+: ([^ ].*:[0-9]+|Cell In\\[[0-9]+\\], line [0-9]+) [^ ]+$'"
_MYSQL = f"""\
CREATE OR REPLACE VIEW whoholds_connections AS
SELECT pid, CASE WHEN tagged THEN left(name, char_length(name) - char_length(line) - 2) ELSE name END AS program,
    CASE WHEN tagged THEN
        concat(left(line, char_length(line) - char_length(word) - 1), ' in ', word) ELSE '' END AS opened,
    CASE WHEN host LIKE '%:%' THEN
        left(host, char_length(host) - char_length(substring_index(host, ':', -1)) - 1) ELSE host END AS host,
    usename, datname, state, state_s
FROM (
    SELECT id AS pid, coalesce(attr_value, '') AS name, coalesce(attr_value, '') REGEXP {_MYSQL_TAG} AS tagged,
        substring_index(attr_value, ': ', -1) AS line, substring_index(attr_value, ' ', -1) AS word,
        host, user AS usename, db AS datname, CASE WHEN command <> 'Sleep' THEN '{RUNNING}'
            WHEN trx_mysql_thread_id IS NULL THEN '{IDLE}' ELSE '{IDLE_IN_TRANSACTION}' END AS state, time AS state_s
    FROM (
{indent(mysql.PROCESSES.strip(), "        ")}
    ) AS processes
    LEFT JOIN (
        {mysql.TRANSACTIONS}
    ) AS transactions ON trx_mysql_thread_id = id
    LEFT JOIN (
        {mysql.NAMES.format(mysql.ATTRIBUTES[0])}
    ) AS names ON processlist_id = id
) AS sessions;

CREATE OR REPLACE VIEW whoholds_slots AS
SELECT program, opened, state, count(*) AS held, count(DISTINCT host) AS hosts, max(state_s) AS longest_s
FROM whoholds_connections GROUP BY program, opened, state;
"""  # noqa: S608 - constants


def views_of(system: str) -> str:
    """The SQL that creates the views in a server of this `system`, `postgresql` or `mysql`."""
    return f"{_POSTGRES_HEAD}\n{_POSTGRES}" if system == "postgresql" else f"{_MYSQL_HEAD}\n{_MYSQL}"
