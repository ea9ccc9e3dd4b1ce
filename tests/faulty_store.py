"""An S3 server on loopback, and a proxy before it that answers its first reads as a store in trouble does."""

import contextlib
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import boto3
import pytest
from moto.server import ThreadedMotoServer

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
FAULTS = ("500", "503", "reset", "silence")


@contextlib.contextmanager
def s3_server(bucket: str) -> Iterator[dict[str, str]]:
    """A server with an empty bucket; the variables that lead there, which this process has, too."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    variables = {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=bucket)
        yield variables
    server.stop()


class FaultyStore:
    """`fault` is one of FAULTS; `left` is how many of the next reads of objects have it.

    Args:
        objects: what is in the path of an object, and not in that of other requests.
    """

    def __init__(self, store: str, objects: str = ".csv") -> None:
        self.fault, self.left = FAULTS[0], 0
        self.read: list[str] = []
        faulty, host = self, store.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.command == "GET" and objects in self.path:
                    faulty.left -= 1
                    if faulty.left >= 0:
                        return self.fail(faulty.fault)
                    faulty.read.append(self.path)
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
