"""The helper is given the connection.

source: FedericoCeratto/bottle-cork#93
"""

import sqlite3


def log(connection, text):
    connection.execute("INSERT INTO log VALUES (?)", [text])


def register(name):
    connection = sqlite3.connect("users.db")
    try:
        connection.execute("INSERT INTO users VALUES (?)", [name])
        log(connection, f"registered {name}")
        connection.commit()
    finally:
        connection.close()


setup = sqlite3.connect("users.db")
setup.executescript("CREATE TABLE users (name); CREATE TABLE log (text);")
setup.close()
register("ann")
