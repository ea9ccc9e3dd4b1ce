"""A bounded load on a running service of this machine: `python -m bench.load [--port 3000] [--seconds 10]`.

Sends the schema's sample with wrk (Debian's package), then says how fast it was answered, how many answers were
errors, and how much the service's memory grew. Loopback only, ten minutes at most.
"""

import argparse
import json
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

import psutil

from bench.serve_servers import LUA, parse_wrk, run_wrk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("load: needs wrk: apt-get install wrk")
    if not 1 <= arguments.seconds <= 600 or not 1 <= arguments.connections <= 256:
        sys.exit("load: expected 1 to 600 seconds and 1 to 256 connections")
    address = f"http://127.0.0.1:{arguments.port}"
    try:
        with urllib.request.urlopen(f"{address}/info", timeout=5) as answer:
            information = json.load(answer)
    except OSError as error:
        sys.exit(f"load: no service answers at {address} ({error}): start one with make serve")
    sample = information["schema"]["sample"]
    body = json.dumps({"instances": [sample.get("image", sample)]})
    processes = [psutil.Process(c.pid) for c in psutil.net_connections("tcp4")
                 if c.laddr and c.laddr.port == arguments.port and c.status == "LISTEN" and c.pid]  # fmt: skip
    before = sum(process.memory_info().rss for process in processes)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body.json").write_text(body)
        (Path(folder) / "post.lua").write_text(LUA.format(body=Path(folder) / "body.json"))
        text = run_wrk(f"{address}/predict", arguments.connections, arguments.seconds, Path(folder) / "post.lua")
    result = parse_wrk(text)
    after = sum(process.memory_info().rss for process in processes)
    speed = "{requests_per_second:.0f} requests/s, p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms, {errors:.0f} errors"
    print(f"{speed.format(**result)}, memory {before / 2**20:.0f} → {after / 2**20:.0f} MB")
    sys.exit(1 if result["errors"] else 0)


if __name__ == "__main__":
    main()
