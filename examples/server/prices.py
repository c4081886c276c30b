"""Changes a price, and keeps the row locked while it waits for another service."""

import sys
import threading

import psycopg2


def refresh(url: str) -> None:
    connection = psycopg2.connect(url)
    connection.cursor().execute("UPDATE cars SET price = price + 1 WHERE id = 3")
    print("changed a price", flush=True)
    ask_the_currency_service()
    connection.commit()
    connection.close()


def ask_the_currency_service() -> None:
    threading.Event().wait()  # it never answers


if __name__ == "__main__":
    refresh(sys.argv[1])
