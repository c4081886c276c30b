"""A server that mostly answers one request at a time gets eighteen at once: that is the load, below the fixed
limit.

source: gregsadetsky/tps#21
needs: postgres
settings: EVERY=0.02 TOO_MANY=30 STORM=100
"""

import os
import threading
import time
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

DSN = os.environ["DSN"]
together = threading.Barrier(18)


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        with closing(psycopg2.connect(DSN)) as connection, connection, connection.cursor() as cursor:
            if self.path == "/all":
                together.wait(20)
            cursor.execute("SELECT 1")
            time.sleep(0.03)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def ask(path):
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{path}").close()


def visit():
    for _ in range(100):
        ask("one")
    visitors = [threading.Thread(target=ask, args=["all"]) for _ in range(18)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    server.shutdown()


server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
threading.Thread(target=visit).start()
server.serve_forever()
server.server_close()
