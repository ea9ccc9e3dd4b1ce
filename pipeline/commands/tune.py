"""Search further: DVC's own way to set a parameter, then the stages after it. No second code path."""

import argparse
import math
import signal
import subprocess
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_datasets, load_params
from contracts.settings.sections import Search
from pipeline.tracking.locks import file_lock


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("--trials", help="how many trials the study is to have in all")
    parser.add_argument("--timeout", help="how many seconds the study is to be searched in all")


def run(chosen: argparse.Namespace) -> int:
    budget(chosen, load_params(Path("params.yaml"), chosen.dataset).search)  # what is wrong is told at once
    # Two experiments of DVC in one working copy take each other's parameters and lock file apart.
    with file_lock("tune", "this working copy is being tuned"):
        return _tune(chosen)


def _tune(chosen: argparse.Namespace) -> int:
    changes = budget(chosen, load_params(Path("params.yaml"), chosen.dataset).search)
    settings = [f"++overrides.{chosen.dataset}.search.{name}={value}" for name, value in changes.items()]
    datasets = load_datasets(Path("params.yaml"))
    if chosen.dataset not in datasets:
        settings.append(f"datasets=[{','.join([*datasets, chosen.dataset])}]")
    targets = [f"{stage}@{chosen.dataset}" for stage in ("evaluate", "package")]
    now = " and ".join(f"{name} is {value}" for name, value in changes.items())
    print(f"In overrides.{chosen.dataset}.search of params.yaml, {now} from now on.", flush=True)
    # An interrupt reaches DVC and the stage too, which end in order; `run` would kill DVC a moment later.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    options = [option for setting in settings for option in ("-S", setting)]
    try:
        return subprocess.run(["dvc", "exp", "run", *options, *targets], check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def budget(chosen: argparse.Namespace, search: Search) -> dict[str, str]:
    """What of the search is to be changed: the limit that is not named is lifted.

    Raises:
        UserError: with everything that is no budget.
    """
    example = f"make tune DATASET={chosen.dataset}"
    problems = []
    if chosen.trials is None and chosen.timeout is None:
        problems.append(
            f"TRIALS or TIMEOUT: expected how many trials or seconds the study of {chosen.dataset} is to have in all "
            f"(now {search.n_trials or 'any number of'} trials, {search.timeout or 'any number of'} s), received "
            f"neither: {example} TRIALS=50 or {example} TIMEOUT=600"
        )
    if chosen.trials is not None and not (chosen.trials.isdecimal() and int(chosen.trials) >= 1):
        problems.append(
            f"TRIALS: expected how many trials the study of {chosen.dataset} is to have in all, at least 1 "
            f"(now {search.n_trials or 'any number'}), received {chosen.trials!r}: {example} TRIALS=50"
        )
    if chosen.timeout is not None and not _is_positive(chosen.timeout):
        problems.append(
            f"TIMEOUT: expected how many seconds the study of {chosen.dataset} is to be searched in all, above 0 "
            f"(now {search.timeout or 'any number'}), received {chosen.timeout!r}: {example} TIMEOUT=600"
        )
    if problems:
        raise UserError("\n  ".join(problems))
    named = {"n_trials": chosen.trials, "timeout": chosen.timeout}
    lifted = {"n_trials": search.n_trials, "timeout": search.timeout}
    return {name: value or "null" for name, value in named.items() if value is not None or lifted[name] is not None}


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False
