"""The figures of the course material beside ours: `make report [PART=material]`, or `PART=best`.

The first part trains each network exactly as the material does, over several seeds. The second part has the best result
of this project for each dataset. Test rows are read once, at the end of a training; no choice depends on them.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import best, results, systems
from bench.machine import machine

RESULTS = Path("bench/results/report.json")
PAGE = Path("docs/reference/report.md")


@dataclass(frozen=True)
class Row:
    """One line of the table; `values` holds one figure per seed."""

    system: str
    what: str
    figure: str
    values: list[float]
    seconds: float

    @property
    def here(self) -> str:
        mean = statistics.mean(self.values)
        spread = f" ± {statistics.stdev(self.values):.4f}" if len(self.values) > 1 else ""
        return f"{mean:.4f}{spread}"


PARTS = {"material": systems.SYSTEMS, "best": best.ROWS}


def main(chosen: list[str]) -> None:
    if wrong := [part for part in chosen if part not in PARTS]:
        sys.exit(f"PART: expected one of {', '.join(PARTS)}, received {wrong[0]!r}")
    report = results.read(RESULTS)
    for part in chosen or PARTS:
        rows = []
        for row in measured(PARTS[part]):
            rows.append(asdict(row))
            print(f"{row.system}: {row.what}: {row.here} ({part}: {row.figure}), {row.seconds:.0f} s", flush=True)
        report |= {part: rows, "machine": machine()}
        results.write(RESULTS, report)
    tables = [[Row(**row) for row in report.get(part, [])] for part in PARTS]
    PAGE.write_text(page(*tables), encoding="utf-8")
    print(f"written to {RESULTS} and {PAGE}")


def measured(lines: dict[tuple[str, str, str], Callable[[], list[float]]]) -> Iterator[Row]:
    """Measures each line in its own process, because TensorFlow keeps the data of every training in a process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.systems", "bench.best"])
    for (system, what, figure), measure in lines.items():
        started = time.perf_counter()
        with context.Pool(1) as process:
            values = process.apply(measure)
        if values:
            yield Row(system, what, figure, values, time.perf_counter() - started)


def page(rows: list[Row], champions: list[Row]) -> str:
    """The page of the documentation with both tables."""
    lines = [
        "# Report",
        "",
        "`make report` writes this page. `bench/results/report.json` has the figures of every seed. The tables show",
        "the mean and the standard deviation over seeds. Each training reads the test rows once, at its end.",
        "",
        "## The networks of the course material",
        "",
        "| system | what | material | mean ± spread | median | seeds |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        *systems.NOTES,
        "",
        "## The best results of this project",
        "",
        "| dataset | what | aim | mean ± spread | median | seeds |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in champions),
        "",
        *best.NOTES,
        "",
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    cells = (row.system, row.what, row.figure, row.here, f"{statistics.median(row.values):.4f}", len(row.values))
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main(sys.argv[1:])
