"""A proxy before an object store that answers its first reads of objects as a store in trouble does."""

from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
FAULTS = ("500", "503", "reset", "silence")


class FaultyStore:
    """`fault` is one of FAULTS; `left` is how many of the next reads have it."""

    def __init__(self, store: str) -> None:
        self.fault, self.left = FAULTS[0], 0
        faulty, host = self, store.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.command == "GET" and self.path.endswith(".csv"):
                    faulty.left -= 1
                    if faulty.left >= 0:
                        return self.fail(faulty.fault)
                behind = HTTPConnection(host)
                behind.request(self.command, self.path, headers=dict(self.headers))
                self.forward(behind.getresponse())

            do_HEAD = do_GET

            def forward(self, response, most: int | None = None) -> None:
                body = response.read()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                        self.send_header(name, value)
                if "Content-Length" not in response.headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[:most])

            def fail(self, fault: str) -> None:
                self.close_connection = True
                if fault == "reset":
                    behind = HTTPConnection(host)
                    behind.request(self.command, self.path, headers=dict(self.headers))
                    self.forward(behind.getresponse(), most=1000)
                elif fault == "silence":
                    Event().wait(20)
                else:
                    self.send_response(int(fault))
                    self.send_header("Content-Length", str(len(SLOW_DOWN)))
                    self.end_headers()
                    self.wfile.write(SLOW_DOWN)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "http://{}:{}".format(*self.server.server_address[:2])
        Thread(target=self.server.serve_forever, daemon=True).start()
