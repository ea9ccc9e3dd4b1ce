"""`make load`: paced, bounded, and honest about what failed. Without wrk it is skipped: apt-get install wrk."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from servers import ROOT, Server, is_up, launch, stop, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("wrk"), reason="needs Debian's wrk")


def load(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.load", "--port", str(port), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_load_keeps_to_its_share_of_the_capacity(servers: dict[str, Server]) -> None:
    done = load(servers["tickets"].port, "--seconds", "2", "--share", "0.2")
    assert done.returncode == 0, done.stderr
    found = re.search(
        r"capacity: (\d+) requests/s.*?: (\d+) requests/s, 0 failed, p50 .*, memory (\d+) → ", done.stdout, re.S
    )
    assert found, done.stdout
    capacity, rate, resident = map(int, found.groups())
    assert 0.1 * capacity < rate < 0.25 * capacity  # below its share where others take the cores
    assert resident > 30


def test_requests_that_fail_are_told_and_end_it_with_an_error(home: Path) -> None:
    server = launch(home, "tickets:latest", SERVING_MAX_BODY_BYTES="10")
    try:
        wait_until(lambda: is_up(server))
        done = load(server.port, "--seconds", "1")
        assert done.returncode == 1, done.stdout
        assert re.search(r" [1-9]\d* failed", done.stdout)
    finally:
        stop(server)


@pytest.mark.parametrize("arguments", [("--seconds", "601"), ("--share", "1.5"), ("--connections", "1000")])
def test_it_is_bounded(arguments: tuple[str, str]) -> None:
    done = load(1, *arguments)
    assert done.returncode == 1
    assert "expected" in done.stderr


def test_without_a_service_it_says_so() -> None:
    done = load(1)
    assert done.returncode == 1
    assert "make serve" in done.stderr
    assert "Traceback" not in done.stderr
