"""A bounded load on a running service of this machine: `python -m bench.load [--port 3000] [--seconds 10]`.

Sends the schema's sample with wrk (Debian's package). Prints requests per second, response times, failed requests and
the growth of the service's memory since the first minute (or the first tenth of a shorter load). With `--share 0.8` it
first measures the capacity for up to ten seconds and then sends that share of it. Loopback only, ten minutes at most.
Exits with 1 if a request failed.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from bench.serve_servers import wrk

# wrk calls `delay` before each request of a connection; it returns the milliseconds until the request is due.
PACE = """
local interval = %f
local ffi = require("ffi")
ffi.cdef[[typedef struct { long seconds; long nanoseconds; } moment; int clock_gettime(int clock, moment *now);]]
local moment = ffi.new("moment")
local function now()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.seconds) * 1e3 + tonumber(moment.nanoseconds) / 1e6
end
local next
function delay()
  local time = now()
  next = math.max((next or time) + interval, time - 1000)
  return math.max(0, math.floor(next - time + 0.5))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--share", type=float, help="of the capacity, measured first; without it, as fast as possible")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("load: needs wrk: apt-get install wrk")
    if not 1 <= arguments.seconds <= 600 or not 1 <= arguments.connections <= 256:
        sys.exit("load: expected 1 to 600 seconds and 1 to 256 connections")
    if arguments.share is not None and not 0 < arguments.share <= 1:
        sys.exit(f"load: expected a share above 0 and at most 1, received {arguments.share:g}")
    address = f"http://127.0.0.1:{arguments.port}"
    try:
        with urllib.request.urlopen(f"{address}/info", timeout=5) as answer:
            sample = json.load(answer)["schema"]["sample"]
    except OSError as error:
        sys.exit(f"load: no service answers at {address} ({error}): start one with make serve")
    body = json.dumps({"instances": [sample.get("image", sample)]}).encode()
    with tempfile.TemporaryDirectory() as folder:
        send = partial(wrk, f"{address}/predict", body, arguments.connections, folder=Path(folder))
        failed = _measure(send, _resident_mb_of(arguments.port), arguments.seconds, arguments.share)
    sys.exit(1 if failed else 0)


def _measure(send: Callable, resident_mb: Callable[[], float], seconds: int, share: float | None) -> float:
    """Print the results; return the number of failed requests."""
    pace = ""
    if share is not None:
        capacity = send(min(10, seconds))
        pace = PACE % (1000 / (share * capacity["requests_per_second"]))
        print("capacity: {requests_per_second:.0f} requests/s, {errors:.0f} failed".format(**capacity), flush=True)
    early: list[float] = []
    timer = threading.Timer(min(60, seconds / 10), lambda: early.append(resident_mb()))
    timer.start()
    result = send(seconds, more_lua=pace)
    timer.join()
    speed = "{requests_per_second:.0f} requests/s, {errors:.0f} failed, p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms"
    before, after = early[0], resident_mb()  # 0 for the processes of another user
    memory = f", memory {before:.0f} → {after:.0f} MB ({after / before - 1:+.1%})" if before else ""
    print(f"{seconds} s: {speed.format(**result)}{memory}")
    return result["errors"]


def _resident_mb_of(port: int) -> Callable[[], float]:
    """A function that returns the resident megabytes of all processes that listen on a port."""
    listening = []
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp4")
        except psutil.Error:  # the process has ended, or belongs to another user
            continue
        if any(c.status == "LISTEN" and c.laddr.port == port for c in connections):
            listening.append(process)

    def resident(process: psutil.Process) -> int:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            return process.memory_info().rss
        return 0

    return lambda: sum(map(resident, listening)) / 2**20


if __name__ == "__main__":
    main()
