-- Who holds the server's connections, by opening line. Printed by `whoholds server mysql:// --print-sql`.
-- Whoever creates and whoever reads the views needs PROCESS; opening lines need performance_schema=ON.

CREATE OR REPLACE VIEW whoholds_connections AS
SELECT pid, CASE WHEN tagged THEN left(name, char_length(name) - char_length(line) - 2) ELSE name END AS program,
    CASE WHEN tagged THEN
        concat(left(line, char_length(line) - char_length(word) - 1), ' in ', word) ELSE '' END AS opened,
    CASE WHEN host LIKE '%:%' THEN
        left(host, char_length(host) - char_length(substring_index(host, ':', -1)) - 1) ELSE host END AS host,
    usename, datname, state, state_s
FROM (
    SELECT id AS pid, coalesce(attr_value, '') AS name, coalesce(attr_value, '') REGEXP '^.+: ([^ ].*:[0-9]+|Cell In\\[[0-9]+\\], line [0-9]+) [^ ]+$' AS tagged,
        substring_index(attr_value, ': ', -1) AS line, substring_index(attr_value, ' ', -1) AS word,
        host, user AS usename, db AS datname, CASE WHEN command <> 'Sleep' THEN 'running'
            WHEN trx_mysql_thread_id IS NULL THEN 'idle' ELSE 'idle in transaction' END AS state, time AS state_s
    FROM (
        SELECT id, user, host, coalesce(db, '') AS db, command, time FROM information_schema.processlist
        WHERE command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND user NOT IN ('system user', 'event_scheduler')
    ) AS processes
    LEFT JOIN (
        SELECT DISTINCT trx_mysql_thread_id FROM information_schema.innodb_trx
    ) AS transactions ON trx_mysql_thread_id = id
    LEFT JOIN (
        SELECT DISTINCT processlist_id, attr_value FROM performance_schema.session_connect_attrs WHERE attr_name = 'program_name'
    ) AS names ON processlist_id = id
) AS sessions;

CREATE OR REPLACE VIEW whoholds_slots AS
SELECT program, opened, state, count(*) AS held, count(DISTINCT host) AS hosts, max(state_s) AS longest_s
FROM whoholds_connections GROUP BY program, opened, state;
