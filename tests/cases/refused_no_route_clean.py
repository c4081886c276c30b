"""Nobody listens on the port: an error, but not one of too many connections.

source: gmcguire/django-db-pool#13
needs: postgres
"""

import os

import psycopg2

connection = psycopg2.connect(os.environ["DSN"])
for _ in range(3):
    try:
        psycopg2.connect("postgresql://app@127.0.0.1:1/shop")
    except psycopg2.OperationalError as error:
        print(error)
connection.close()
