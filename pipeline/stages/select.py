"""select: the champion, decided on validation rows alone."""

import csv
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.bundle import BundleDamaged, Manifest, open_bundle
from contracts.errors import UserError
from contracts.files import write_atomically
from contracts.schema import Schema
from contracts.settings.load import Params
from pipeline.data.row_ids import read_row_ids
from pipeline.evaluation import selection
from pipeline.evaluation.baselines import baseline_input
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.contest import Contest, boosting_ahead_of, open_contest, score_bundle, score_candidates
from pipeline.evaluation.scoring import Scored
from pipeline.evaluation.selection import Contender, Decision, Exclusion
from pipeline.paths import Paths
from pipeline.tracking import approval, databases, registry, runs
from pipeline.tracking.failures import optional
from pipeline.tracking.lineage import version_tags


@dataclass(frozen=True)
class Champion:
    """The registered champion. `scored` is None if no fair comparison is possible. `bundle` is the registered one; the
    bundle of the contender has another threshold if `select.threshold` changed.
    """

    version: str
    contender: Contender
    scored: Scored | None
    bundle: Path

    @property
    def has_new_threshold(self) -> bool:
        return self.contender.bundle != self.bundle


def run(params: Params, paths: Paths) -> None:
    """Write the winner's `bundle/` and `selection.json`; register it if it is a new champion."""
    with tempfile.TemporaryDirectory() as scratch:
        contest = open_contest(params, paths, Path(scratch))
        schema, metric, y = contest.schema, contest.metric, contest.validation.y
        if contest.is_sample:
            print(f"  {params.dataset}: compared on a sample of {len(y):,} validation rows (search.validation_rows)")
        baseline = metric.compute(y, baseline_input(metric, schema, len(y)))
        client, _ = runs.connect(params.dataset)
        candidates = score_candidates(contest)
        _log_gates(client, candidates)
        contenders = tuple(candidate.contender for candidate in candidates)
        champion = _champion(contest, client, candidates[0].predictor.manifest)
        comparison = None
        if champion is not None and champion.scored is not None:
            best = contenders.index(selection.challenger(metric, contenders, baseline))
            comparison = _compare(contest, champion.scored, candidates, best)
        known = champion.contender if champion else None
        try:
            decision = selection.decide(metric, contenders, known, baseline, comparison, params.select)
        except (selection.NothingBeatsBaseline, selection.NothingPassesGates) as error:
            raise UserError(str(error)) from None
        served = decision.served(params.select)
        version, challenger = _registered(contest, client, decision, champion)
        shutil.rmtree(paths.bundle, ignore_errors=True)
        if served is not None:
            waits = champion is not None and challenger is not None and served is champion.contender
            shutil.copytree(champion.bundle if champion and waits else served.bundle, paths.bundle)
        scored = [*candidates, *([champion.scored] if champion and champion.scored else [])]
        winner = next((one for one in scored if one.contender is decision.winner), None)
        trees = ""
        if winner is not None:
            with optional("the comparison with boosted trees"):
                trees = boosting_ahead_of(contest, winner)
    report = selection.report(decision) | {"version": version if served else None, "challenger": challenger}
    report["trees"] = trees
    with write_atomically(paths.selection) as unfinished:
        unfinished.write_text(json.dumps(_nan_as_null(report), indent=2) + "\n", encoding="utf-8")
    if trees:
        print(f"  {params.dataset}: {trees}")
    _tell(params.dataset, decision, served, version, challenger)


def _log_gates(client: registry.MlflowClient, candidates: list[Scored]) -> None:
    for candidate in candidates:
        contender, run = candidate.contender, candidate.predictor.manifest.mlflow_run_id
        with optional(f"the gates of {contender.name} in MLflow"):
            if not runs.run_exists(client, run):
                continue
            tags = {"gates": "failed" if contender.failed else "passed"} if contender.verdicts else {}
            for verdict in contender.verdicts:  # MLflow allows few characters in a tag's name
                tags[re.sub(r"[^\w.\- ]", "_", f"gates.{verdict.gate}")[:250]] = verdict.figure[:5000]
            for name in client.get_run(run).data.tags:
                if re.match(r"gates(\.|$)", name) and name not in tags:  # of a gate that is gone
                    client.delete_tag(run, name)
            runs.log_metrics(client, run, {}, tags)


def _champion(contest: Contest, client: registry.MlflowClient, candidates: Manifest) -> Champion | None:
    """The champion, None if there is none yet.

    Args:
        candidates: the manifest of one of them.
    """
    dataset = contest.params.dataset
    version = registry.champion(client, dataset)
    if version is None:
        return None
    name, nan = f"version {version}", float("nan")
    try:
        bundle = registry.download_bundle(dataset, version, contest.scratch)
        manifest, schema = open_bundle(bundle)
        exclusion = _exclusion(contest, manifest, schema, bundle, candidates.train_md5)
        if exclusion is not None:
            contender = Contender(name, bundle, nan, manifest.n_parameters, manifest.trial, exclusion)
            return Champion(version, contender, None, bundle)
        scored = score_bundle(contest, name, bundle, schema)
    except (BundleDamaged, OSError, registry.MlflowException) as error:
        if not isinstance(error, BundleDamaged) and registry.is_remote(client, dataset, version):
            raise UserError(
                f"{name} of {dataset}, the champion, cannot be downloaded, so nothing is compared and nothing changes: "
                f"{' '.join(str(error).split())[:300]}"
            ) from None
        return Champion(version, Contender(name, Path(), nan, 0, 0, Exclusion.UNREADABLE, str(error)), None, Path())
    return Champion(version, scored.contender, scored, bundle)


def _compare(contest: Contest, champion: Scored, candidates: list[Scored], best: int) -> Comparison:
    params = contest.params
    with (contest.paths.candidates / "trials.csv").open(newline="", encoding="utf-8") as file:
        n_trainings = params.train.restarts * sum(1 for _ in csv.DictReader(file))
    predictions = [candidate.judged for candidate in candidates]
    confidence, seed = params.select.confidence, params.preprocess.seed
    y = contest.validation.y
    return compare(contest.metric, y, champion.judged, predictions, best, n_trainings, confidence, seed)


def _exclusion(contest: Contest, manifest: Manifest, known: Schema, bundle: Path, train_md5: str) -> Exclusion | None:
    """Why no fair comparison with a champion is possible.

    Args:
        manifest: the champion's, as its schema and `bundle`, as downloaded.
        train_md5: of the train rows of the candidates.
    """
    schema = contest.schema
    if [(f.name, f.kind) for f in known.features] != [(f.name, f.kind) for f in schema.features]:
        return Exclusion.FEATURES
    if (known.task, known.outputs) != (schema.task, schema.outputs) or known.classes != schema.classes:
        return Exclusion.CLASSES
    if known.levels != schema.levels:
        return Exclusion.QUANTILES
    if manifest.train_md5 == train_md5:
        return None
    trained_on = registry.trained_on(bundle)
    if trained_on is None:
        return Exclusion.UNKNOWN_ROWS
    gaps = {feature.name for feature in known.features if getattr(feature, "missing", False)}
    features = {feature.name for feature in known.features}
    now = read_row_ids(contest.paths.prepared / "validation.parquet", gaps, features)
    return Exclusion.TRAINED_ON if np.isin(now, trained_on).any() else None


def _registered(
    contest: Contest, client: registry.MlflowClient, decision: Decision, champion: Champion | None
) -> tuple[str | None, str | None]:
    """Register a new winner; returns the champion's version, and the version that waits for approval."""
    params, version = contest.params, champion.version if champion else None
    if not decision.is_new and not (champion and champion.has_new_threshold):
        return version, None
    with databases.failures_explained():
        challenger = _register(client, params, contest.paths, decision.winner.bundle)
        if params.select.approval == "automatic":
            approval.replace_champion(client, params.dataset, challenger, version, approval.AUTOMATIC, decision.reason)
            return challenger, None
        client.set_registered_model_alias(params.dataset, registry.CHALLENGER, challenger)
    return version, challenger


def _register(client: registry.MlflowClient, params: Params, paths: Paths, bundle: Path) -> str:
    """Register a bundle and return its version. A bundle that is registered already keeps its version."""
    if known := registry.version_of(client, params.dataset, bundle):
        return known
    trained_on = read_row_ids(paths.prepared / "train.parquet")
    settings = params.model_dump_json(by_alias=True, indent=2)
    tags = version_tags(*open_bundle(bundle), paths)
    return registry.register_bundle(client, params.dataset, bundle, trained_on, settings, tags)


def _tell(
    dataset: str, decision: Decision, served: Contender | None, version: str | None, challenger: str | None
) -> None:
    """Print what was decided.

    Raises:
        UserError: if nothing can be served before a person approves the winner.
    """
    name, reason = decision.winner.name, decision.reason
    for line in selection.held_back(decision.candidates):
        print(f"  {dataset}: {line}")
    if challenger is None:
        print(f"  {dataset}: {name} is served as version {version}: {reason}")
        return
    command = f'make approve DATASET={dataset} VERSION={challenger} NOTE="…"'
    waits = f"{name} is version {challenger} and waits for approval: {command}: {reason}"
    if served is None:
        raise UserError(f"{waits}. Until then nothing can be served.")
    print(f"  {dataset}: {waits}. Version {version} is served meanwhile.")


def _nan_as_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nan_as_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_as_null(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
