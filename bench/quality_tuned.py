"""A search of ours beside CatBoost and LightGBM, tuned for as many seconds: `make bench-quality TUNED=1`.

Each has the seconds (360, or `BENCH_SECONDS`) and two cores for one split of a table. Ours is `space: auto` with
`search.timeout`, and its champion; the trees are the best of Optuna's trials over spaces of the literature. All choose
by the validation metric that `search.metric: auto` names, and are scored once on the test rows. Results of other
seconds are in a section of their own; what is measured is not measured again, and `TABLES` and `ONLY` choose tables.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bench.quality import RESULTS, SEEDS, Split, find_tables, measure, of_peer, parser_of_tables
from bench.quality_summary import OURS, summary
from bench.results import read
from bench.tables import environment
from contracts.errors import UserError
from pipeline import resources
from pipeline.tracking import provenance
from serving.predictor import Predictor

TUNED = ("lightgbm", "catboost")
CORES = 2


def main(arguments: list[str]) -> int:
    parser = parser_of_tables(__doc__)
    parser.add_argument("--seconds", default="360", help="the budget of each competitor; default: %(default)s")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes of the competitor end, too
    try:
        if not asked.seconds.isdecimal() or not int(asked.seconds):
            raise UserError(f"--seconds: expected a whole number from 1 on, received {asked.seconds}")
        seconds = int(asked.seconds)
        if hasattr(os, "sched_setaffinity"):  # not on macOS
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        competitors = {who: partial(of_trees, who, seconds) for who in TUNED} | {OURS: of_search}
        section = f"tuned, {seconds} s"
        for name, entry in find_tables(asked.tables, asked.only).items():
            measure(name, with_budget(entry, seconds), SEEDS[0], competitors, section)
    except UserError as error:
        print(f"bench-quality: {error}", file=sys.stderr)
        return 2
    print(f"{section}\n{summary(read(RESULTS).get(section, {}), TUNED)}")
    return 0


def with_budget(entry: str, seconds: int) -> str:
    """The file of the catalog for a search that ends after this time, on the first split."""
    settings = YAML(typ="safe").load(entry)
    settings["search"] |= {"n_trials": None, "timeout": seconds}
    return json.dumps(settings | {"preprocess": {"seed": SEEDS[0]}})


def of_trees(who: str, seconds: int, split: Split) -> dict[str, Any]:
    metric = split.params.metric_for(split.schema.task)
    return {**of_peer(who, "tuned", split, metric, str(seconds)), "metric": metric, **conditions()}


def of_search(split: Split) -> dict[str, Any]:
    """The stages that search and choose, as `make repro` runs them, in the project of the table's own."""
    paths = split.paths
    for package in ("contracts", "models", "pipeline", "serving"):
        (paths.root / package).symlink_to(Path(package).absolute())
    own = environment() | {"DVC_ROOT": str(paths.root.absolute())}
    seconds = []
    for stage in ("train", "select"):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.stages", stage, "--dataset", paths.dataset],
            cwd=paths.root, env=own, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds.append(time.perf_counter() - began)
        if done.returncode:
            raise UserError(f"{OURS}: expected a champion, received: {(done.stdout + done.stderr)[-1000:]}")
    chosen = json.loads(paths.selection.read_text())
    with (paths.candidates / "trials.csv").open(newline="", encoding="utf-8") as file:
        states = Counter(row["state"] for row in csv.DictReader(file))
    predictor = Predictor(paths.bundle, bulk_threads=0)
    began = time.perf_counter()
    predictions = predictor.predict(split.parts["test"][0])
    return {
        "predictions": predictions,
        "validation": next(one["value"] for one in chosen["candidates"] if one["name"] == chosen["winner"]),
        "trials": states["COMPLETE"] + states["PRUNED"], "train_seconds": round(seconds[0], 1),
        "select_seconds": round(seconds[1], 1), "predict_seconds": round(time.perf_counter() - began, 3),
        "parameters": predictor.manifest.n_parameters, "metric": chosen["metric"], **conditions(),
    }  # fmt: skip


def conditions() -> dict[str, Any]:
    return {"cores": resources.cores(), "revision": provenance.git_revision()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
