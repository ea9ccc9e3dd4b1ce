"""python -m bench.attack [service] [settings] [parsers]: run the attacks, print a table, and write
bench/results/attack.json, where parts that did not run keep their figures. The attacks are bounded, and go over
loopback to processes of their own. The exit code is 1 if a case failed. The service is attacked alone, because its
answers are timed; settings and parsers share the cores afterwards.
"""

import importlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from bench import results
from bench.attack.rows import Row
from bench.machine import machine

MODULES = ("service", "settings", "parsers")
RESULTS = Path("bench/results/attack.json")


def main() -> None:
    wanted = sys.argv[1:] or [name for name in MODULES if find_spec(f"bench.attack.{name}")]
    if wrong := [name for name in wanted if name not in MODULES]:
        sys.exit(f"PART: expected one of {', '.join(MODULES)}, received {wrong[0]!r}")
    rows: list[Row] = []
    report = results.read(RESULTS)
    started = time.monotonic()
    alone = [name for name in wanted if name == "service"]
    for names in (alone, [name for name in wanted if name not in alone]):
        with ThreadPoolExecutor() as pool:
            parts = pool.map(lambda name: importlib.import_module(f"bench.attack.{name}").run(), names)
            for name, found in zip(names, parts, strict=True):
                about = machine("uvicorn", "bentoml", "pillow")
                report[name] = {"machine": about, "rows": [row._asdict() for row in found]}
                results.write(RESULTS, report)
                rows += found
    width = max(len(row.name) for row in rows)
    print(f"\n{'class':{width}}  cases  failures  notes")
    for row in rows:
        print(f"{row.name:{width}}  {row.cases:5}  {len(row.failures):8}  {row.notes}")
    failures = [f"{row.name}: {failure}" for row in rows for failure in row.failures]
    print(f"\n{sum(row.cases for row in rows)} cases, {len(failures)} failures, {time.monotonic() - started:.0f} s")
    for failure in failures:
        print(f"  {failure}")
    print(f"written to {RESULTS}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
