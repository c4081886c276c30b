-- Who holds the server's connections, by opening line. Printed by `whoholds server postgresql:// --print-sql`.
-- Whoever reads the views needs the role pg_read_all_stats (or pg_monitor) to see what others do.

CREATE OR REPLACE VIEW whoholds_sessions AS
SELECT pid, coalesce(application_name, '') AS name, coalesce(usename::text, '') AS usename,
    coalesce(datname::text, '') AS datname, coalesce(host(client_addr), '') AS host,
    CASE WHEN backend_type IS NULL THEN 'hidden' WHEN state = 'idle' THEN 'idle'
        WHEN left(state, 19) = 'idle in transaction' THEN 'idle in transaction' ELSE 'running' END AS state,
    extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,
    extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age_s,
    CASE WHEN wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(pid), ',') ELSE '' END AS blocked_by,
    pid = pg_backend_pid() AS asks
FROM pg_stat_activity
WHERE (backend_type = 'client backend' OR backend_type IS NULL) AND datid IS NOT NULL AND usesysid IS NOT NULL;

CREATE OR REPLACE VIEW whoholds_connections AS
SELECT pid, coalesce(tag[1], name) AS program, coalesce(tag[2] || ' in ' || tag[3], '') AS opened,
    host, usename, datname, state, state_s, age_s, blocked_by
FROM whoholds_sessions LEFT JOIN LATERAL regexp_match(name, '^(.+): (\S.*:\d+|Cell In\[\d+\], line \d+) (\S+)$') AS tag ON true;

CREATE OR REPLACE VIEW whoholds_slots AS
SELECT coalesce(tag[1], name) AS program, coalesce(tag[2] || ' in ' || tag[3], '') AS opened,
    state, held, hosts, longest_s
FROM (
    SELECT name, state, count(*) AS held, count(DISTINCT host) AS hosts, max(state_s) AS longest_s
    FROM whoholds_sessions GROUP BY name, state
) AS names LEFT JOIN LATERAL regexp_match(name, '^(.+): (\S.*:\d+|Cell In\[\d+\], line \d+) (\S+)$') AS tag ON true;

CREATE OR REPLACE VIEW whoholds_allowed AS
SELECT sum(CASE WHEN name = 'max_connections' THEN setting::int ELSE -setting::int END) AS allowed
FROM pg_settings WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections');
