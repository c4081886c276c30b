"""All OpenTelemetry names that whoholds emits: those of the semantic conventions 1.44, and its own.

The names are written out, because the package of constants has names in development under a path that may change.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "whoholds"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

# --- stable ---------------------------------------------------------------------------------------------------------

SYSTEM: Final = "db.system.name"
NAMESPACE: Final = "db.namespace"
COLLECTION: Final = "db.collection.name"
OPERATION: Final = "db.operation.name"
QUERY_TEXT: Final = "db.query.text"
QUERY_SUMMARY: Final = "db.query.summary"
BATCH_SIZE: Final = "db.operation.batch.size"
PROCEDURE: Final = "db.stored_procedure.name"
STATUS_CODE: Final = "db.response.status_code"
ERROR_TYPE: Final = "error.type"
SERVER: Final = "server.address"
PORT: Final = "server.port"
PEER: Final = "network.peer.address"
PEER_PORT: Final = "network.peer.port"
FUNCTION: Final = "code.function.name"
FILE: Final = "code.file.path"
LINE: Final = "code.line.number"
STACK: Final = "code.stacktrace"
DURATION: Final = "db.client.operation.duration"
DURATION_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)

# --- in development -------------------------------------------------------------------------------------------------

THREAD_ID: Final = "thread.id"
THREAD_NAME: Final = "thread.name"
POOL_NAME: Final = "db.client.connection.pool.name"
STATE: Final = "db.client.connection.state"
COUNT: Final = "db.client.connection.count"
IDLE_MAX: Final = "db.client.connection.idle.max"
IDLE_MIN: Final = "db.client.connection.idle.min"
MAX: Final = "db.client.connection.max"
PENDING: Final = "db.client.connection.pending_requests"
TIMEOUTS: Final = "db.client.connection.timeouts"
CREATE_TIME: Final = "db.client.connection.create_time"
WAIT_TIME: Final = "db.client.connection.wait_time"
USE_TIME: Final = "db.client.connection.use_time"

# --- ours -----------------------------------------------------------------------------------------------------------

SPAWN_FILE: Final = "whoholds.spawn.file.path"
SPAWN_LINE: Final = "whoholds.spawn.line.number"
SPAWN_FUNCTION: Final = "whoholds.spawn.function.name"
HANDLE_KIND: Final = "whoholds.handle.kind"
HANDLE_END: Final = "whoholds.handle.end"
OWNER_KIND: Final = "whoholds.owner.kind"
OWNER_NAME: Final = "whoholds.owner.name"
USES: Final = "whoholds.uses"
BUSY: Final = "whoholds.busy_s"
IDLE: Final = "whoholds.idle_s"
HELD: Final = "whoholds.held_s"
BACKEND_PID: Final = "whoholds.backend_pid"
RULE: Final = "whoholds.rule"
RULES: Final = "whoholds.rules"
SEVERITY: Final = "whoholds.severity"
FINDINGS: Final = "whoholds.findings"
DRIVER_ACTIVE: Final = "whoholds.driver.active"
LIBRARY: Final = "whoholds.library.name"
LIBRARY_VERSION: Final = "whoholds.library.version"
HELD_BY_LINE: Final = "whoholds.connections.held"
SERVER_LIMIT: Final = "whoholds.server.limit"
WANTED: Final = "whoholds.pool.wanted"
LONGEST_WAIT: Final = "whoholds.pool.longest_wait"
USED_SHARE: Final = "whoholds.pool.used_share"
SIZE: Final = "whoholds.pool.size"
GOAL: Final = "whoholds.pool.goal"
LOOKS: Final = "whoholds.cost.looks"
CPU_TIME: Final = "whoholds.cost.cpu.time"
EVENTS: Final = "whoholds.cost.events"
DROPPED: Final = "whoholds.cost.dropped"
MEMORY: Final = "whoholds.cost.memory"

OTHER: Final = "_other"  # the label of everything beyond a bound

_DEFAULT_PORTS: Final = {
    "postgresql": 5432,
    "cockroachdb": 26257,
    "mysql": 3306,
    "mariadb": 3306,
    "oracle.db": 1521,
    "microsoft.sql_server": 1433,
}


def is_default_port(system: str, port: int | None) -> bool:
    """True if the conventions leave this port out: it is the default of the system, or not known."""
    return not port or _DEFAULT_PORTS.get(system) == port
