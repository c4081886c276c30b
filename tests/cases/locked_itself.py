"""A function that has written calls a helper that opens a connection of its own: the thread waits for itself.

source: FedericoCeratto/bottle-cork#93
"""

import sqlite3


def log(text):
    connection = sqlite3.connect("users.db", timeout=0.05)
    try:
        connection.execute("INSERT INTO log VALUES (?)", [text])
        connection.commit()
    finally:
        connection.close()


def register(name):
    connection = sqlite3.connect("users.db")  # opened: locked error x1
    try:
        connection.execute("INSERT INTO users VALUES (?)", [name])
        log(f"registered {name}")
        connection.commit()
    finally:
        connection.close()


setup = sqlite3.connect("users.db")
setup.executescript("CREATE TABLE users (name); CREATE TABLE log (text);")
setup.close()
try:
    register("ann")
except sqlite3.OperationalError as error:
    print(error)
