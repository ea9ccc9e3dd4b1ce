"""`make load`: its pace, its bounds, and its report of failures. Skipped without wrk: apt-get install wrk."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from apps import listen, make_model, make_test_app
from bento_servers import ROOT, BentoServer
from bundles import TICKETS

from serving.settings import Settings

pytestmark = pytest.mark.skipif(not shutil.which("wrk"), reason="needs Debian's wrk")


def load(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.load", "--port", str(port), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_load_keeps_to_its_share_of_the_capacity(server: BentoServer) -> None:
    done = load(server.port, "--seconds", "2", "--share", "0.2")
    assert done.returncode == 0, done.stderr
    found = re.search(
        r"capacity: (\d+) requests/s.*?: (\d+) requests/s, 0 failed, p50 .*, memory (\d+) → ", done.stdout, re.S
    )
    assert found, done.stdout
    capacity, rate, resident = map(int, found.groups())
    assert 0.1 * capacity < rate < 0.25 * capacity  # below its share if other processes use the cores
    assert resident > 30


def test_failed_requests_are_reported_and_end_it_with_an_error(bundles: Path) -> None:
    app = make_test_app(make_model(TICKETS, bundles / "tickets"), Settings(max_body_bytes=10))
    with listen(app) as live:
        done = load(live.port, "--seconds", "1")
    assert done.returncode == 1, done.stdout
    assert re.search(r" [1-9]\d* failed", done.stdout)


@pytest.mark.parametrize("arguments", [("--seconds", "601"), ("--share", "1.5"), ("--connections", "1000")])
def test_time_share_and_connections_are_bounded(arguments: tuple[str, str]) -> None:
    done = load(1, *arguments)
    assert done.returncode == 1
    assert "expected" in done.stderr


def test_a_missing_service_is_reported() -> None:
    done = load(1)
    assert done.returncode == 1
    assert "make serve" in done.stderr
    assert "Traceback" not in done.stderr
