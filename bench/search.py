"""Keras Tuner and our `train` stage on the same data, space, cores and wall clock: `make bench-search`.

Each search is a process of its own, ended when its time is over; time counts from the start of the process, so
that imports and everything else that a person waits for is in it. The tuners take turns, seed by seed. Then the
samplers on functions whose minimum is known.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
from ruamel.yaml import YAML

from bench import results, search_functions
from bench.machine import machine
from contracts.errors import UserError
from contracts.schema import load_schema
from pipeline.data.training_data import write_training_data
from pipeline.paths import Paths

RESULTS = Path("bench/results/search.json")
PICTURE = Path("docs/images/search.png")
PEER = Path("var/keras_tuner/bin/python")
DATASET = "fashion_mnist"
EPOCHS = 10
SECONDS = 120  # whose figures the documents show
OURS = {  # `search.pruner` by the name of ours
    "ours": "auto", "ours, hyperband": "hyperband", "ours, halving": "successive_halving",
}  # fmt: skip
THEIRS = ("random", "hyperband", "bayesian")  # the tuners of Keras Tuner
TUNERS = (*OURS, *THEIRS)

Ended = list[tuple[float, float | None]]  # per trial: seconds since the start, and its value if it has one


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each tuner and seed")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    chosen = parser.parse_args()
    is_usual = chosen.seconds == SECONDS
    file = RESULTS if is_usual else RESULTS.with_name(f"search_{chosen.seconds}_s.json")
    report = {
        "searches": {},
        **results.read(file),  # goes on measuring
        "machine": {**machine("tensorflow", "keras", "optuna", "numpy"), "keras-tuner": "1.4.8"},
        "seconds": chosen.seconds,
        "epochs": EPOCHS,
    }
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        if chosen.seeds:
            _prepare(data)
        for seed in chosen.seeds:
            turn = seed % len(TUNERS)
            for tuner in (*TUNERS[turn:], *TUNERS[:turn]):
                ended = search(tuner, seed, chosen.seconds, data, Path(scratch) / f"{tuner}-{seed}".replace(", ", "-"))
                report["searches"].setdefault(tuner, {})[str(seed)] = ended
                best = max((value for _, value in ended if value is not None), default=float("nan"))
                print(f"{tuner}, seed {seed}: {len(ended)} trials, best {best:.4f}", flush=True)
                results.write(file, report)
    report["functions"] = search_functions.measure()
    report["compared"] = {ours: compared(report["searches"], chosen.seconds, ours) for ours in OURS}
    results.write(file, report)
    if is_usual:
        _draw(report)
    print(json.dumps({name: report[name] for name in ("compared", "functions")}, indent=2))


def search(tuner: str, seed: int, seconds: float, data: Path, folder: Path) -> Ended:
    """Trials of one tuner, within its seconds from the start of its process."""
    folder.mkdir()
    if tuner in OURS:
        command = [sys.executable, "-m", "pipeline.stages", "train", "--dataset", DATASET]
        environment = _our_project(folder, seed, OURS[tuner])
    else:
        script = Path("bench/peers/search_keras_tuner.py").resolve()
        command = [str(PEER.absolute()), str(script), tuner, str(seed), str(EPOCHS), str(data)]
        environment = dict(os.environ)
    with (folder / "said").open("w") as said, (folder / "errors").open("w") as errors:
        began = time.time()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=errors, start_new_session=True
        )
        try:
            if process.wait(seconds) or tuner not in OURS:  # ours may have ended all of its trials
                raise UserError(f"{tuner} ended before its time:\n{(folder / 'errors').read_text()[-2000:]}")
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    found = _our_trials(folder) if tuner in OURS else _their_trials(folder / "said")
    return sorted((round(at - began, 2), value) for at, value in found if at - began <= seconds)


def _our_project(folder: Path, seed: int, pruner: str) -> dict[str, str]:
    """Make a working copy whose search has more trials than fit into its time; returns the environment of its
    processes.
    """
    for name in ("params.yaml", "spaces.yaml"):
        shutil.copy(name, folder)
    shutil.copytree("catalog", folder / "catalog")
    entry = folder / f"catalog/{DATASET}.yaml"
    settings = YAML(typ="safe", pure=True).load(entry)
    settings["train"] = {"epochs": EPOCHS, "patience": EPOCHS}
    settings["search"] = {
        "n_trials": 99, "seed": seed, "metric": "accuracy", "warmup_epochs": 1, "space": "material",
        "pruner": pruner,
    }  # fmt: skip
    YAML().dump(settings, entry)
    for name in ("models", "data"):
        (folder / name).symlink_to(Path(name).resolve())
    apart = {"PYTHONPATH": str(Path.cwd()), "DVC_ROOT": str(folder)}
    return {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_TRACKING", "OPTUNA_"))} | apart


def _our_trials(folder: Path) -> Iterator[tuple[float, float | None]]:
    storage = f"sqlite:///{folder}/var/optuna.db"
    for name in optuna.get_all_study_names(storage):
        for trial in optuna.load_study(study_name=name, storage=storage).trials:
            if trial.datetime_complete is not None:
                yield trial.datetime_complete.timestamp(), trial.value


def _their_trials(said: Path) -> Iterator[tuple[float, float | None]]:
    for line in said.read_text().splitlines():
        if line.startswith("{"):
            trial = json.loads(line)
            yield trial["time"], trial["value"]


def compared(
    searches: dict[str, dict[str, Ended]], seconds: float, ours: str = "ours"
) -> dict[str, dict[str, float | None]]:
    """One of ours against each of the others, as medians over the seeds.

    `reached_after` is the share of the whole time after which ours had the other's final value, or None.
    """
    found: dict[str, dict[str, float | None]] = {}
    for tuner in THEIRS:
        seeds = [seed for seed in searches.get(tuner, {}) if seed in searches.get(ours, {})]
        if not seeds:
            continue
        pairs = [(curve(searches[ours][seed]), curve(searches[tuner][seed])) for seed in seeds]
        finals = [(mine[-1][1], theirs[-1][1]) for mine, theirs in pairs]
        reached = [
            next((at / seconds for at, value in mine if value >= theirs[-1][1]), float("inf")) for mine, theirs in pairs
        ]
        counts = [(len(searches[ours][seed]), len(searches[tuner][seed])) for seed in seeds]
        found[tuner] = {
            "seeds": len(seeds),
            "final_ours": statistics.median(mine for mine, _ in finals),
            "final_theirs": statistics.median(theirs for _, theirs in finals),
            "better_in_seeds": sum(mine > theirs for mine, theirs in finals),
            "reached_after": _or_never(statistics.median(reached)),
            "reached_after_worst": _or_never(max(reached)),
            "trials_per_minute_ours": statistics.median(60 * mine / seconds for mine, _ in counts),
            "trials_per_minute_theirs": statistics.median(60 * theirs / seconds for _, theirs in counts),
            "times_as_many_trials": _or_never(
                statistics.median(mine / theirs if theirs else float("inf") for mine, theirs in counts)
            ),
        }
    return found


def _or_never(share: float) -> float | None:
    return share if math.isfinite(share) else None


def curve(ended: Ended) -> list[tuple[float, float]]:
    """When the best value so far got better, and to what."""
    steps: list[tuple[float, float]] = [(0.0, 0.0)]
    for at, value in ended:
        if value is not None and value > steps[-1][1]:
            steps.append((at, value))
    return steps


def _draw(report: dict) -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    times = np.linspace(0, report["seconds"], 400)
    names = {ours: ours for ours in OURS} | {tuner: f"Keras Tuner, {tuner}" for tuner in THEIRS}
    for tuner, name in names.items():
        runs = report["searches"].get(tuner, {}).values()
        if not runs:
            continue
        steps = [np.array(curve(ended)) for ended in runs]
        values = np.stack([one[np.searchsorted(one[:, 0], times, "right") - 1, 1] for one in steps])
        values[values == 0] = np.nan
        middle, line = np.median(values, axis=0), "-" if tuner in OURS else "--"
        (drawn,) = axis.plot(times, middle, line, label=name, linewidth=2 if tuner in OURS else 1.4)
        axis.fill_between(times, values.min(axis=0), values.max(axis=0), alpha=0.12, color=drawn.get_color())
    axis.set(xlabel="seconds since the start of the process", ylabel="best validation accuracy so far")
    axis.set_title(f"Fashion-MNIST, the material's space, {EPOCHS} epochs: median and range of the seeds", size=10)
    finals = [curve(ended)[-1][1] for runs in report["searches"].values() for ended in runs.values()]
    axis.set_ylim(min(0.84, min(finals, default=1) - 0.005), None)
    axis.legend(loc="lower right")
    axis.grid(alpha=0.3)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def _prepare(folder: Path) -> None:
    """The rows as files that every tuner reads, and what their pixels are scaled by."""
    paths = Paths(DATASET)
    if not (paths.prepared / "schema.json").exists():
        raise UserError(f"{paths.prepared} is missing: `make repro DATASETS={DATASET}` makes it")
    if not PEER.exists():
        raise UserError(f"{PEER} is missing: `make bench-search` makes it")
    folder.mkdir()
    schema = load_schema(write_training_data(paths, folder).schema)
    assert schema.image is not None
    scale = {"mean": schema.image.mean, "std": schema.image.std, "maximum": schema.image.maximum}
    (folder / "scale.json").write_text(json.dumps(scale))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
