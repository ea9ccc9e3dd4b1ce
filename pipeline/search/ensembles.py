"""An ensemble of the best networks of a study as one more candidate, and one network that imitates it. The reasons are
in docs/decisions/0034-ensembles.md.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from contracts.bundle import Member
from models.search.finalists import further_seed
from models.search.greedy import cross_fitted, select_greedily
from models.search.plan import Plan
from models.search.trial import TrialFiles, TrialResult
from models.search.workers.pool import JobFailed, Pool
from models.training.data import Data
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.paths import Paths
from pipeline.search.candidates import calibrates, complete_bundle, write_history

FEW = 8  # best trials from which an ensemble is selected; their networks stay for later searches
CONFIDENCE = 0.9


def add_ensemble(
    plan: Plan, bundles: dict[Path, FrozenTrial], ranked: list[FrozenTrial], files: TrialFiles, paths: Paths,
    pool: Pool, data: Data, log: Callable[[FrozenTrial], str], say: Callable[[str], None],
) -> dict[Path, FrozenTrial]:  # fmt: skip
    """Make the ensemble the first candidate if it is better than the present first one beyond noise; with
    `search.distil`, the network that imitates it, if this one is better too.

    Args:
        bundles: those of the exported trials, the best first.
        ranked: the trials that may be in it, the best first.
        log: takes the ensemble, or the network that imitates it, and returns its run.
        say: takes a sentence about the result.

    Returns:
        The bundles, the best first.
    """
    first = next(iter(bundles.values()))
    networks = _networks(plan, [first, *(trial for trial in ranked if trial is not first)], files)
    if len(networks) < 2:
        say("no ensemble: it needs the networks of two trials")
        return bundles
    pool.start(None, "predict_validation", [path for path, _ in networks], data, plan.metric.name)
    predictions, y = pool.result(), np.asarray(data.split("validation").target)
    comparison, most = _compare(plan, y, predictions), plan.search.ensemble
    least = plan.search.tolerance * abs(first.values[0]) if plan.search.second_objective != "none" else 0.0
    figures = f"{plan.metric.name} better by {comparison.gain:.4g} than that of the best network"
    if not (comparison.gain > least and comparison.p_value < 1 - CONFIDENCE):
        wanted = f"more than {least:.4g} and " if least else ""
        say(f"no ensemble: {figures}, expected {wanted}beyond noise (p {comparison.p_value:.2g})")
        return bundles
    counts = select_greedily(plan.metric, y, predictions, most)
    if np.count_nonzero(counts) < 2:
        say("no ensemble: the best network alone is better than any mean with it")
        return bundles
    members = [
        (path, member.model_copy(update={"share": count / counts.sum()}))
        for (path, member), count in zip(networks, counts, strict=True)
        if count
    ]
    network = data.folder / "ensemble.keras"
    task = plan.trial_task(data, first.user_attrs["hyperparameters"], first.user_attrs["seed"])
    pool.start(None, "average", [path for path, _ in members], [m.share for _, m in members], task, network)
    trial = _as_trial(plan, pool.result(), [member for _, member in members], "members")
    bundles, reason = _with_candidate(plan, trial, network, {}, bundles, paths, pool, data, log)
    if reason:
        say(f"no ensemble: {reason}")
        return bundles
    what = ", ".join(f"trial {member.trial} ({member.share:.0%})" for _, member in members)
    say(f"an ensemble of {what} is the first candidate: {figures}")
    if plan.search.distil:
        best = plan.metric.compute(y, predictions[0])
        return _with_distilled(plan, trial, network, best, least, bundles, paths, pool, data, log, say)
    return bundles


def _with_distilled(
    plan: Plan, ensemble: FrozenTrial, teacher: Path, best: float, least: float, bundles: dict[Path, FrozenTrial],
    paths: Paths, pool: Pool, data: Data, log: Callable[[FrozenTrial], str], say: Callable[[str], None],
) -> dict[Path, FrozenTrial]:  # fmt: skip
    """Train the ensemble's largest member anew, with the ensemble as its teacher.

    Args:
        teacher: the network of the ensemble.
        best: the value of the best single network on the validation rows, which this one must exceed by `least`.
    """
    members = [Member(**member) for member in ensemble.user_attrs["members"]]
    lead = _lead(members)
    say(f"training a network like that of trial {lead.trial} to imitate the ensemble …")
    network = data.folder / "distilled.keras"
    task = plan.trial_task(data, lead.hyperparameters, lead.seed, lead.threads)
    pool.start(None, "train", replace(task, teacher=teacher), network, limit=plan.limit(plan.n_rows))
    try:
        result = pool.result()
    except JobFailed as error:  # the finished search has its candidates
        say(f"the ensemble stays the first candidate: {error}")
        return bundles
    figures = f"its {plan.metric.name} of {result.value:.4g} against {best:.4g} of the best network"
    if not gain_of(plan, result.value, best) > least:
        say(f"the ensemble stays the first candidate: no network imitates it well enough, {figures}")
        return bundles
    trial = _as_trial(plan, result, members, "teachers")
    bundles, reason = _with_candidate(plan, trial, network, result.history, bundles, paths, pool, data, log)
    if reason:
        say(f"the ensemble stays the first candidate: {reason}")
    else:
        say(f"one network that imitates it is the first candidate: {figures}")
    return bundles


def gain_of(plan: Plan, value: float, best: float) -> float:
    """By how much a value of the metric is better than another."""
    return value - best if plan.metric.higher_is_better else best - value


def _with_candidate(
    plan: Plan, trial: FrozenTrial, network: Path, history: dict[str, list[float]], bundles: dict[Path, FrozenTrial],
    paths: Paths, pool: Pool, data: Data, log: Callable[[FrozenTrial], str],
) -> tuple[dict[Path, FrozenTrial], str]:  # fmt: skip
    """The bundles with that of a network as the first one, or the reason why it cannot be exported."""
    bundle = paths.candidates / "new"
    pool.start(None, "export_bundle", network, bundle, data, calibrates(plan))
    calibration = pool.result()
    if isinstance(calibration, str):
        shutil.rmtree(bundle)
        return bundles, calibration
    if history:
        write_history(bundle / "history.csv", history)
    trial.user_attrs["mlflow_run_id"] = log(trial)
    complete_bundle(plan, trial, data, bundle, calibration)
    return _first(bundle, trial, bundles), ""


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


def _lead(members: list[Member]) -> Member:
    return max(members, key=lambda member: member.share)


def _as_trial(plan: Plan, result: TrialResult, members: list[Member], role: str) -> FrozenTrial:
    """A network made of others as a trial that the study does not hold, with the number of the largest member.

    Args:
        role: what the members are in the manifest, `members` or `teachers`.
    """
    lead = _lead(members)
    second = result.n_parameters if result.latency is None else result.latency
    attributes = {
        **lead.model_dump(include={"hyperparameters", "seed", "threads"}),
        "best_epoch": result.best_epoch,
        "n_parameters": result.n_parameters,
        role: [member.model_dump() for member in members],
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
