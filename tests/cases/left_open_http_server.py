"""A threaded HTTP server opens a connection in every request's thread and remembers it, but never closes it.

source: CounterpartyXCP/counterparty-core#3322
needs: postgres
"""

import os
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

DSN = os.environ["DSN"]
connections = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        connection = psycopg2.connect(DSN)  # opened: left-open error x3 by serve
        connections.append(connection)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def browse():
    for path in ("/a", "/b", "/c"):
        client = HTTPConnection("127.0.0.1", server.server_port)
        client.request("GET", path)
        client.getresponse().read()
        client.close()
    server.shutdown()


threading.Thread(target=browse).start()
server.serve_forever()  # spawned: serve
server.server_close()
