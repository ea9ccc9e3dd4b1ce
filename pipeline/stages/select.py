"""select: the champion, decided on validation rows alone."""

import csv
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from contracts.bundle import BundleDamaged, Manifest, open_bundle
from contracts.errors import UserError
from contracts.metrics import BY_NAME, Metric
from contracts.schema import Schema, load_schema
from contracts.settings.load import Params
from pipeline.data.row_ids import row_ids
from pipeline.data.splits import encode_rows, read_part
from pipeline.evaluation import selection
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.gates.judge import Validation, judge
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.evaluation.scoring import Scored, score
from pipeline.evaluation.selection import Contender, Decision, Exclusion
from pipeline.paths import Paths
from pipeline.tables import TARGET
from pipeline.tracking import approval, databases, registry, runs
from pipeline.tracking.failures import optional
from pipeline.tracking.lineage import version_tags


def run(params: Params, paths: Paths) -> None:
    """Write the winner's `bundle/` and `selection.json`; register it if it is a new champion."""
    schema = load_schema(paths.prepared / "schema.json")
    metric = BY_NAME[params.metric_for(schema.task)]
    if problems := gate_problems(params.select.gates, schema, paths.prepared / "validation.parquet"):
        raise UserError("\n  ".join([f"invalid settings for {schema.dataset}:", *map(str, problems)]))
    validation = _validation(schema, paths)
    baseline = metric.compute(validation.y, baseline_predictions(schema, len(validation.y)))
    client, _ = runs.connect(params.dataset)
    with tempfile.TemporaryDirectory() as scratch:
        candidates = _candidates(params, schema, paths, validation, metric, Path(scratch))
        _log_gates(client, candidates)
        contenders = tuple(candidate.contender for candidate in candidates)
        version = registry.champion(client, params.dataset)
        champion = comparison = present = scored = None
        if version is not None:
            champion, scored, present = _champion(
                client, version, params, schema, paths, candidates[0].predictor.manifest, validation, metric,
                Path(scratch),
            )  # fmt: skip
            if scored is not None:
                best = contenders.index(selection.challenger(metric, contenders, baseline))
                comparison = _compare(params, paths, metric, validation.y, scored, candidates, best)
        try:
            decision = selection.decide(metric, contenders, champion, baseline, comparison, params.select)
        except (selection.NothingBeatsBaseline, selection.NothingPassesGates) as error:
            raise UserError(str(error)) from None
        served, challenger = decision.served(params.select), None
        has_new_threshold = champion is not None and champion.bundle != present
        if decision.is_new or has_new_threshold:
            with databases.failures_explained():
                challenger = _register(client, params, paths, decision.winner.bundle)
                if params.select.approval == "automatic":
                    approval.make_champion(client, params.dataset, challenger, approval.AUTOMATIC, decision.reason)
                    version, challenger = challenger, None
                else:
                    client.set_registered_model_alias(params.dataset, registry.CHALLENGER, challenger)
        shutil.rmtree(paths.bundle, ignore_errors=True)
        if served is not None:
            bundle = present if present and challenger and served is champion else served.bundle
            shutil.copytree(bundle, paths.bundle)
        winner = next((c for c in (*candidates, scored) if c and c.contender is decision.winner), None)
        trees = "" if winner is None else _boosting_ahead(params, schema, paths, validation, metric, winner)
    report = selection.report(decision) | {"version": version if served else None, "challenger": challenger}
    report["trees"] = trees
    paths.selection.write_text(json.dumps(_nan_as_null(report), indent=2) + "\n", encoding="utf-8")
    if trees:
        print(f"  {params.dataset}: {trees}")
    _tell(params.dataset, decision, served, version, challenger)


def _validation(schema: Schema, paths: Paths) -> Validation:
    table = pq.read_table(paths.prepared / "validation.parquet")
    rows, y = encode_rows(table, schema)
    frame = table.drop_columns([TARGET, *([schema.image.name] if schema.image else [])]).to_pandas()
    return Validation(frame, rows, y)


def _candidates(
    params: Params, schema: Schema, paths: Paths, validation: Validation, metric: Metric, scratch: Path
) -> list[Scored]:
    """Every candidate in the order of the ranking, with the verdicts of the gates that are set."""
    folders = sorted((path for path in paths.candidates.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    gates, threshold = params.select.gates, params.select.threshold
    scored = [
        score(f"candidate {folder.name}", folder, metric, threshold, validation.rows, validation.y, scratch)
        for folder in folders
    ]
    if not gates.model_fields_set:
        return scored
    others = _references(metric, schema, paths, validation) if gates.references else {}

    def judged(candidate: Scored) -> Scored:
        verdicts = judge(
            gates, candidate.contender.bundle, candidate.predictor, candidate.predictions, validation, metric, others,
            params.select.confidence, params.preprocess.seed,
        )  # fmt: skip
        return replace(candidate, contender=replace(candidate.contender, verdicts=verdicts))

    return [judged(candidate) for candidate in scored]


def _references(metric: Metric, schema: Schema, paths: Paths, validation: Validation) -> dict[str, float]:
    """The validation metric of each of scikit-learn's models, trained on the same rows; none where it is undefined."""
    from pipeline.evaluation.references import fit_and_score, references

    train, held_out = read_part(paths.prepared / "train.parquet", schema), (validation.rows, validation.y)
    fitted = {name: fit_and_score(schema, model, train, held_out) for name, model in references(schema).items()}
    key = f"val_{metric.name}"
    return {name: values[key] for name, values in fitted.items() if key in values}


def _boosting_ahead(
    params: Params, schema: Schema, paths: Paths, validation: Validation, metric: Metric, winner: Scored
) -> str:
    """Whether boosted trees are better on a person's own table, in words; empty where they are not."""
    if not params.source.is_file or schema.image is not None:
        return ""
    with optional("the comparison with boosted trees"):
        from pipeline.evaluation.references import boosting_ahead

        train, confidence = read_part(paths.prepared / "train.parquet", schema), params.select.confidence
        rows = (validation.rows, validation.y)
        return boosting_ahead(schema, train, rows, metric, winner.judged, confidence, params.preprocess.seed)
    return ""


def _log_gates(client: registry.MlflowClient, candidates: list[Scored]) -> None:
    for candidate in candidates:
        contender = candidate.contender
        if contender.verdicts:
            with optional(f"the gates of {contender.name} in MLflow"):
                tags = {"gates": "failed" if contender.failed else "passed"}
                for verdict in contender.verdicts:  # a tag's name has a few signs only
                    tags[re.sub(r"[^\w.\- ]", "_", f"gates.{verdict.gate}")[:250]] = verdict.figure[:5000]
                runs.log_metrics(client, candidate.predictor.manifest.mlflow_run_id, {}, tags)


def _champion(
    client: registry.MlflowClient, version: str, params: Params, schema: Schema, paths: Paths, candidates: Manifest,
    validation: Validation, metric: Metric, scratch: Path,
) -> tuple[Contender, Scored | None, Path]:  # fmt: skip
    """The champion; the same with its predictions where a comparison is fair; and its bundle as it is registered."""
    name = f"version {version}"
    try:
        bundle = registry.download_bundle(params.dataset, version, scratch)
        manifest, known = open_bundle(bundle)
        exclusion = _exclusion(schema, manifest, known, bundle, candidates.train_md5, paths)
        if exclusion is not None:
            value = float("nan")
            return Contender(name, bundle, value, manifest.n_parameters, manifest.trial, exclusion), None, bundle
        scored = score(name, bundle, metric, params.select.threshold, validation.rows, validation.y, scratch)
    except (BundleDamaged, OSError, registry.MlflowException) as error:
        return Contender(name, Path(), float("nan"), 0, 0, Exclusion.UNREADABLE, str(error)), None, Path()
    return scored.contender, scored, bundle


def _compare(
    params: Params, paths: Paths, metric: Metric, y: np.ndarray, champion: Scored, candidates: list[Scored], best: int
) -> Comparison:
    with (paths.candidates / "trials.csv").open(newline="", encoding="utf-8") as file:
        n_trainings = params.train.restarts * sum(1 for _ in csv.DictReader(file))
    predictions = [candidate.judged for candidate in candidates]
    confidence, seed = params.select.confidence, params.preprocess.seed
    return compare(metric, y, champion.judged, predictions, best, n_trainings, confidence, seed)


def _exclusion(
    schema: Schema, manifest: Manifest, known: Schema, bundle: Path, train_md5: str, paths: Paths
) -> Exclusion | None:
    """Why no fair comparison with a champion is possible.

    Args:
        manifest: the champion's, as its schema and `bundle`, as downloaded.
        train_md5: of the train rows of the candidates.
    """
    if [(f.name, f.kind) for f in known.features] != [(f.name, f.kind) for f in schema.features]:
        return Exclusion.FEATURES
    if known.classes != schema.classes:
        return Exclusion.CLASSES
    if manifest.train_md5 == train_md5:
        return None
    trained_on = registry.trained_on(bundle)
    if trained_on is None:
        return Exclusion.UNKNOWN_ROWS
    now = row_ids(pq.read_table(paths.prepared / "validation.parquet"))
    return Exclusion.TRAINED_ON if np.isin(now, trained_on).any() else None


def _register(client: registry.MlflowClient, params: Params, paths: Paths, bundle: Path) -> str:
    """The version of a bundle: a bundle that is registered already stays the version that it is."""
    if known := registry.version_of(client, params.dataset, bundle):
        return known
    trained_on = row_ids(pq.read_table(paths.prepared / "train.parquet"))
    settings = params.model_dump_json(by_alias=True, indent=2)
    tags = version_tags(*open_bundle(bundle), paths)
    return registry.register_bundle(client, params.dataset, bundle, trained_on, settings, tags)


def _tell(
    dataset: str, decision: Decision, served: Contender | None, version: str | None, challenger: str | None
) -> None:
    """Print what was decided.

    Raises:
        UserError: nothing can be served before a person approves the winner.
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
