"""Which libraries tell how to read what was open before: their modules, and where that stands, imported when wanted.

It is apart from the table of drivers, which every interpreter start with `WHOHOLDS=1` reads.
"""

# A library's module → a function that returns an `Adoptable` for connections, or an `AdoptableStock` for pools.
ADOPTABLE: dict[str, str] = {
    "sqlite3": "whoholds.drivers.sqlite:adoptable",
    "psycopg2": "whoholds.drivers.psycopg2:adoptable",
    "psycopg2.pool": "whoholds.drivers.psycopg2_pool:adoptable",
    "psycopg": "whoholds.drivers.psycopg:adoptable",
    "psycopg_pool": "whoholds.drivers.psycopg_pool:adoptable",
    "pymysql": "whoholds.drivers.pymysql:adoptable",
    "asyncpg": "whoholds.drivers.asyncpg:adoptable",
    "asyncpg.pool": "whoholds.drivers.asyncpg:adoptable_stock",
    "MySQLdb": "whoholds.drivers.mysqldb:adoptable",
    "mysql.connector": "whoholds.drivers.mysql_connector:adoptable",
    "pg8000": "whoholds.drivers.pg8000:adoptable",
    "sqlalchemy": "whoholds.drivers.sqlalchemy:adoptable",
}
