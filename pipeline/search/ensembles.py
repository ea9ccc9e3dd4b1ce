"""An ensemble of the best networks of a study, as one more candidate. The reasons are in
docs/decisions/0034-ensembles.md.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from contracts.bundle import Member
from models.search.finalists import further_seed
from models.search.greedy import cross_fitted, select_greedily
from models.search.plan import Plan
from models.search.trial import TrialFiles, TrialResult
from models.search.workers.pool import Pool
from models.training.data import Data
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.paths import Paths
from pipeline.search.candidates import calibrates, complete_bundle

FEW = 8  # best trials from which an ensemble is selected; their networks stay for later searches
CONFIDENCE = 0.9


def add_ensemble(
    plan: Plan, bundles: dict[Path, FrozenTrial], ranked: list[FrozenTrial], files: TrialFiles, paths: Paths,
    pool: Pool, data: Data, log: Callable[[FrozenTrial], str],
) -> tuple[dict[Path, FrozenTrial], str]:  # fmt: skip
    """Make the ensemble the first candidate if it is better than the present first one beyond noise.

    Args:
        bundles: those of the exported trials, the best first.
        ranked: the trials that may be in it, the best first.
        log: takes the ensemble and returns its run.

    Returns:
        The bundles, the best first, and a sentence about the result.
    """
    first = next(iter(bundles.values()))
    networks = _networks(plan, [first, *(trial for trial in ranked if trial is not first)], files)
    if len(networks) < 2:
        return bundles, "no ensemble: it needs the networks of two trials"
    pool.start(None, "predict_validation", [path for path, _ in networks], data, plan.metric.name)
    predictions, y = pool.result(), np.asarray(data.split("validation").target)
    comparison, most = _compare(plan, y, predictions), plan.search.ensemble
    least = plan.search.tolerance * abs(first.values[0]) if plan.search.second_objective != "none" else 0.0
    figures = f"{plan.metric.name} better by {comparison.gain:.4g} than that of the best network"
    if not (comparison.gain > least and comparison.p_value < 1 - CONFIDENCE):
        wanted = f"more than {least:.4g} and " if least else ""
        return bundles, f"no ensemble: {figures}, expected {wanted}beyond noise (p {comparison.p_value:.2g})"
    counts = select_greedily(plan.metric, y, predictions, most)
    if np.count_nonzero(counts) < 2:
        return bundles, "no ensemble: the best network alone is better than any mean with it"
    members = [
        (path, member.model_copy(update={"share": count / counts.sum()}))
        for (path, member), count in zip(networks, counts, strict=True)
        if count
    ]
    network = data.folder / "ensemble.keras"
    task = plan.trial_task(data, first.user_attrs["hyperparameters"], first.user_attrs["seed"])
    pool.start(None, "average", [path for path, _ in members], [m.share for _, m in members], task, network)
    trial = _as_trial(plan, pool.result(), [member for _, member in members])
    bundle = paths.candidates / "ensemble"
    pool.start(None, "export_bundle", network, bundle, data, calibrates(plan))
    calibration = pool.result()
    if isinstance(calibration, str):
        shutil.rmtree(bundle)
        return bundles, f"no ensemble: {calibration}"
    trial.user_attrs["mlflow_run_id"] = log(trial)
    complete_bundle(plan, trial, data, bundle, calibration)
    what = ", ".join(f"trial {member.trial} ({member.share:.0%})" for _, member in members)
    return _first(bundle, trial, bundles), f"an ensemble of {what} is the first candidate: {figures}"


def _networks(plan: Plan, ranked: list[FrozenTrial], files: TrialFiles) -> list[tuple[Path, Member]]:
    """The networks on disk of the best trials and of their further seeds."""
    found = []
    for trial in ranked[:FEW]:
        known = trial.user_attrs
        for number in range(1 + plan.search.finalist_seeds):
            path, threads = files.network(trial.number, number), plan.threads if number else known["threads"]
            if path.exists():
                seed, hyperparameters = further_seed(trial, number), known["hyperparameters"]
                member = Member(
                    trial=trial.number, seed=seed, threads=threads, hyperparameters=hyperparameters, share=0
                )
                found.append((path, member))
    return found


def _compare(plan: Plan, y: np.ndarray, predictions: list[np.ndarray]) -> Comparison:
    """Compare the best ensemble with the best single network, both on rows that did not select them."""
    seed = plan.search.seed
    single, mean = (
        cross_fitted(plan.metric, y, predictions, most, seed).astype(np.float32) for most in (1, plan.search.ensemble)
    )
    return compare(plan.metric, y, single, [mean], best=0, n_trials=1, confidence=CONFIDENCE, seed=seed)


def _as_trial(plan: Plan, result: TrialResult, members: list[Member]) -> FrozenTrial:
    """An ensemble as a trial that the study does not hold, with the number of its largest member."""
    lead = max(members, key=lambda member: member.share)
    second = result.n_parameters if result.latency is None else result.latency
    attributes = {
        **lead.model_dump(include={"hyperparameters", "seed", "threads"}),
        "best_epoch": 0,
        "n_parameters": result.n_parameters,
        "members": [member.model_dump() for member in members],
    }
    trial = optuna.trial.create_trial(values=[result.value, second][: len(plan.objectives)], user_attrs=attributes)
    trial.number = lead.trial
    return trial


def _first(bundle: Path, trial: FrozenTrial, bundles: dict[Path, FrozenTrial]) -> dict[Path, FrozenTrial]:
    """Rename the folders of all candidates to their new ranks."""
    for old in reversed(bundles):
        old.rename(old.with_name(str(int(old.name) + 1)))
    ordered = {path.with_name(str(int(path.name) + 1)): other for path, other in bundles.items()}
    return {bundle.rename(bundle.with_name("1")): trial, **ordered}
