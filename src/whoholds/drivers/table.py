"""Which libraries are watched, and by which driver. It must hold only strings: autostart reads it at every start."""

# The module whose import is waited for → its driver, as module:name. A driver is one file and one row.
DRIVERS: dict[str, str] = {
    "sqlite3": "whoholds.drivers.sqlite:watch",
    "psycopg2": "whoholds.drivers.psycopg2:watch",
    "psycopg2.pool": "whoholds.drivers.psycopg2_pool:watch",
    "psycopg": "whoholds.drivers.psycopg:watch",
    "psycopg_pool": "whoholds.drivers.psycopg_pool:watch",
    "pymysql": "whoholds.drivers.pymysql:watch",
    "aiomysql": "whoholds.drivers.aiomysql:watch",
    "asyncmy": "whoholds.drivers.asyncmy:watch",
    "asyncpg": "whoholds.drivers.asyncpg:watch",
    "aiopg": "whoholds.drivers.aiopg:watch",
    "aiosqlite": "whoholds.drivers.aiosqlite:watch",
    "MySQLdb": "whoholds.drivers.mysqldb:watch",
    "mysql.connector": "whoholds.drivers.mysql_connector:watch",
    "mysql.connector.pooling": "whoholds.drivers.mysql_connector_pool:watch",
    "mariadb": "whoholds.drivers.mariadb:watch",
    "pyodbc": "whoholds.drivers.pyodbc:watch",
    "aioodbc": "whoholds.drivers.aioodbc:watch",
    "pg8000": "whoholds.drivers.pg8000:watch",
    "sqlalchemy": "whoholds.drivers.sqlalchemy:watch",
    "sqlalchemy.orm": "whoholds.drivers.sqlalchemy_orm:watch",
    "django.db.backends.base.base": "whoholds.drivers.django:watch",
    "dbutils.pooled_db": "whoholds.drivers.dbutils:watch",
    "dbutils.steady_db": "whoholds.drivers.dbutils:watch_persistent",
    "playhouse.pool": "whoholds.drivers.peewee:watch",
}

# Libraries without a driver of their own: `WHOHOLDS_WATCH` takes them. docs/libraries.md says what is seen of each.
WAKES = (
    "adbc_driver_postgresql.dbapi",
    "adbc_driver_sqlite.dbapi",
    "clickhouse_connect.dbapi",
    "cx_Oracle",
    "duckdb",
    "ibm_db_dbi",
    "libsql",
    "oracledb",
    "psqlpy",
    "pymssql",
    "redshift_connector",
    "snowflake.connector",
    "trino.dbapi",
)
