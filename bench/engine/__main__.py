"""The cost of the search itself, with the study and MLflow: `make bench-engine`. Trials are small, or take no time.

It measures trials per minute of two workers and of one, the time without training, the time of the search for the
1,000th and the 20th trial, and the memory of the search and its fork server over 100 trials.

A module called `__main__`, as that of the stages: a trial's process imports the main module, unless it has this name.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil

from bench import results
from bench.instant import Instant
from bench.machine import machine
from contracts.files import md5
from contracts.metrics import BY_NAME
from contracts.settings.load import load_params
from contracts.settings.pruners import Plain
from models.search.plan import plan_search
from models.search.run import run_study
from models.search.study import open_study
from models.search.trial import TrialFiles, TrialResult
from models.search.workers.events import Progress
from models.search.workers.pool import Pool
from models.training.data import Data
from pipeline.data.training_data import write_training_data
from pipeline.paths import Paths
from pipeline.search.studies import create_storage
from pipeline.search.study_log import StudyLog

RESULTS = Path("bench/results/engine.json")
DATASET = "digits"
TRIALS_OF_EACH = 40  # trials of each number of workers for the throughput, in two turns
TRIALS_FOR_MEMORY = 100
TRIALS_WITHOUT_WORK = 1000


class Watched(Pool):
    """A pool that knows how long its trials have waited for answers to their reports.

    Sending one counts with its processor time: the trial goes on before `send` returns, often on the same core.
    """

    waited = 0.0

    def events(self, seconds: float | None = None) -> Iterator[Any]:
        for event in super().events(seconds):
            self._told = time.perf_counter()
            yield event

    def answer(self, progress: Progress, go_on: bool) -> None:
        self.waited += time.perf_counter() - self._told - time.thread_time()
        super().answer(progress, go_on)
        self.waited += time.thread_time()


def main() -> None:
    paths = Paths(DATASET)
    if not (paths.prepared / "schema.json").exists():
        sys.exit(f"{paths.prepared} is missing: run `dvc repro preprocess@{DATASET}` first")
    report: dict[str, Any] = {**results.read(RESULTS), "machine": machine("tensorflow", "keras", "optuna")}

    def note(name: str, figures: dict[str, Any]) -> None:
        report[name] = figures
        results.write(RESULTS, report)
        print(json.dumps({name: figures}, indent=2), flush=True)

    with tempfile.TemporaryDirectory() as folder, Watched(ahead=True) as pool:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        data = write_training_data(paths, Path(folder))
        search(Path(folder) / "warm", data, pool, n_trials=2, workers=2)  # the fork server imports TensorFlow
        note("workers", throughput(Path(folder), data, pool))
        note("memory", memory(Path(folder), data, pool))
        note("milliseconds of the n-th trial", nth_trial(Path(folder)))


def search(
    folder: Path, data: Data, pool: Any, n_trials: int, workers: int, epochs: int = 20,
    on_trial: Callable[[optuna.Trial, str, TrialResult | None, str], None] = lambda *_: None,
) -> float:  # fmt: skip
    """Seconds from the first to the last trial of a study whose trials have the same number of epochs."""
    params = load_params(Path("params.yaml"), DATASET)
    train = params.train.model_copy(update={"epochs": epochs, "patience": epochs})
    settings = params.search.model_copy(
        update={"n_trials": n_trials, "pruner": Plain(type="none"), "sampler": "tpe", "workers": workers}
    )
    paths = Paths(DATASET)
    digests = {part: md5(paths.prepared / f"{part}.parquet") for part in ("train", "validation")}
    plan = plan_search(
        params.model_copy(update={"search": settings, "train": train}), "multiclass", BY_NAME["accuracy"],
        f"bench {folder.name}",
        digests, cores=1,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    study = open_study(plan, create_storage(f"sqlite:///{folder / 'optuna.db'}"))
    pool.workers = workers
    with StudyLog(plan, paths, study) as log:

        def end(trial: optuna.Trial, state: str, result: TrialResult | None, reason: str) -> None:
            log.trial(trial, state, result, reason)
            on_trial(trial, state, result, reason)

        began = time.perf_counter()
        run_study(study, plan, data, pool, TrialFiles(folder), end)
        return time.perf_counter() - began


def throughput(folder: Path, data: Data, pool: Watched) -> dict[str, Any]:
    """Trials per minute of one and two workers in turns, and the share of the time in which one did not train:
    between trials, and in them while they waited for the answers to their reports.
    """
    seconds: dict[int, float] = {1: 0.0, 2: 0.0}
    trained: dict[int, list[float]] = {1: [], 2: []}
    waited = {1: 0.0, 2: 0.0}
    for turn in range(2):
        for workers in (1, 2):

            def note(trial: optuna.Trial, state: str, result: TrialResult | None, reason: str) -> None:
                assert result is not None, reason
                trained[workers].append(result.seconds)  # noqa: B023

            here, before = folder / f"{workers}-{turn}", pool.waited
            seconds[workers] += search(here, data, pool, TRIALS_OF_EACH // 2, workers, 20, note)
            waited[workers] += pool.waited - before
    rate = {workers: 60 * TRIALS_OF_EACH / seconds[workers] for workers in seconds}
    besides = (seconds[1] - sum(trained[1]) + waited[1]) / TRIALS_OF_EACH
    return {
        "trials": TRIALS_OF_EACH,
        "trials per minute": rate,
        "ratio": rate[2] / rate[1],
        "target": 1.6,
        "seconds of a trial": statistics.median(trained[1]),
        "besides training, seconds a trial": besides,
        "of these, waiting for answers": waited[1] / TRIALS_OF_EACH,
        "besides training, share": besides * TRIALS_OF_EACH / seconds[1],
        "besides training, share at 1 s a trial": besides / (1 + besides),
        "target share": 0.05,
    }


def nth_trial(folder: Path) -> dict[str, float]:
    """Milliseconds that the search itself takes for the n-th trial: the median of the 50 up to it."""
    ends: list[float] = []

    def note(*_: Any) -> None:
        ends.append(time.perf_counter())

    search(folder / "nothing", Data(folder, folder), Instant(_any_value), TRIALS_WITHOUT_WORK, 1, on_trial=note)
    each = [1000 * (b - a) for a, b in itertools.pairwise(ends)]
    return {str(n): statistics.median(each[max(0, n - 51) : n - 1]) for n in (20, 100, 300, 500, TRIALS_WITHOUT_WORK)}


def _any_value(params: dict[str, Any]) -> float:
    return sum(hash(item) % 1000 for item in params.items()) / 1000


def memory(folder: Path, data: Data, pool: Pool) -> dict[str, Any]:
    """Resident MiB of the search and of its fork server, after 10 and after all trials."""
    seen: list[dict[str, float]] = []

    def look(*_: Any) -> None:
        ours = psutil.Process()
        server = max(ours.children(), key=lambda child: child.memory_info().rss)
        seen.append({"search": ours.memory_info().rss / 2**20, "fork server": server.memory_info().rss / 2**20})

    search(folder / "memory", data, pool, TRIALS_FOR_MEMORY, 2, 3, look)
    return {
        "after 10": seen[9],
        f"after {TRIALS_FOR_MEMORY}": seen[-1],
        "growth": {name: seen[-1][name] / seen[9][name] - 1 for name in seen[9]},
        "target growth": 0.1,
    }


if __name__ == "__main__":
    main()
