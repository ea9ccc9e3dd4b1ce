"""Optuna's dashboard over the storage of the studies."""

import argparse
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from contracts.errors import UserError


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A line per request would hide what is worth reading."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8080)


def run(chosen: argparse.Namespace) -> None:
    from pipeline.search.studies import open_storage

    storage = open_storage()
    from optuna_dashboard import wsgi  # takes seconds

    try:
        # In this process: on the command line of another one, the password of a database could be seen by everyone.
        server = make_server("127.0.0.1", chosen.port, wsgi(storage), _Server, _Quiet)
    except OSError as error:
        raise UserError(
            f"port {chosen.port}: {error.strerror}; say another one: make dashboard DASHBOARD_PORT=8081"
        ) from None
    print(f"Optuna's dashboard: http://127.0.0.1:{server.server_port} (Ctrl-C ends it)", flush=True)
    with server:
        server.serve_forever()
