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

from contracts.bundle import BundleDamaged, open_bundle
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import Schema, load_schema
from contracts.settings.load import Params
from pipeline.data.row_ids import row_ids
from pipeline.data.splits import encode_rows, read_part
from pipeline.evaluation import selection
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.evaluation.comparison import compare
from pipeline.evaluation.gates.judge import Validation, Verdict, judge
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.evaluation.selection import Contender, Exclusion
from pipeline.paths import Paths
from pipeline.tables import TARGET
from pipeline.tracking import approval, databases, registry, runs
from pipeline.tracking.failures import optional
from pipeline.tracking.lineage import version_tags
from serving.predictor import Predictor


def run(params: Params, paths: Paths) -> None:
    """Write the winner's `bundle/` and `selection.json`; register it if it is a new champion."""
    schema = load_schema(paths.prepared / "schema.json")
    metric = BY_NAME[params.metric_for(schema.task)]
    if problems := gate_problems(params.select.gates, schema, paths.prepared / "validation.parquet"):
        raise UserError("\n  ".join([f"invalid settings for {schema.dataset}:", *map(str, problems)]))
    table = pq.read_table(paths.prepared / "validation.parquet")
    rows, y = encode_rows(table, schema)
    folders = sorted((path for path in paths.candidates.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    predictors = [Predictor(folder) for folder in folders]
    predictions = [predictor.predict(rows) for predictor in predictors]
    verdicts: list[tuple[Verdict, ...]] = [()] * len(folders)
    if params.select.gates.model_fields_set:
        frame = table.drop_columns([TARGET, *([schema.image.name] if schema.image else [])]).to_pandas()
        others = _references(params, schema, paths, (rows, y)) if params.select.gates.references else {}
        verdicts = [
            judge(
                params.select.gates, folder, predictor, predicted, Validation(frame, rows, y), metric, others,
                params.select.confidence, params.preprocess.seed,
            )
            for folder, predictor, predicted in zip(folders, predictors, predictions, strict=True)
        ]  # fmt: skip
    candidates = tuple(
        replace(_contender(f"candidate {folder.name}", folder, predictor, metric.compute(y, predicted)), verdicts=found)
        for folder, predictor, predicted, found in zip(folders, predictors, predictions, verdicts, strict=True)
    )
    baseline = metric.compute(y, baseline_predictions(schema, len(y)))
    client, _ = runs.connect(params.dataset)
    for candidate, predictor in zip(candidates, predictors, strict=True):
        if candidate.verdicts:
            with optional(f"the gates of {candidate.name} in MLflow"):
                tags = {"gates": "failed" if candidate.failed else "passed"}
                for verdict in candidate.verdicts:  # a tag's name has a few signs only
                    tags[re.sub(r"[^\w.\- ]", "_", f"gates.{verdict.gate}")[:250]] = verdict.figure[:5000]
                runs.log_metrics(client, predictor.manifest.mlflow_run_id, {}, tags)
    version = registry.champion(client, params.dataset)
    with tempfile.TemporaryDirectory() as scratch:
        champion = comparison = None
        if version is not None:
            name = f"version {version}"
            try:
                bundle = registry.download_bundle(params.dataset, version, Path(scratch))
                predictor = Predictor(bundle)
                exclusion = _exclusion(schema, predictor, bundle, predictors[0].manifest.train_md5, paths)
                champion = _contender(name, bundle, predictor, float("nan"), exclusion)
            except (BundleDamaged, OSError, registry.MlflowException) as error:
                champion = Contender(name, Path(), float("nan"), 0, 0, Exclusion.UNREADABLE, str(error))
            else:
                if exclusion is None:
                    predicted = predictor.predict(rows)
                    champion = replace(champion, value=metric.compute(y, predicted))
                    best = candidates.index(selection.challenger(metric, candidates, baseline))
                    comparison = compare(
                        metric, y, predicted, predictions, best, _n_trainings(params, paths),
                        params.select.confidence, params.preprocess.seed,
                    )  # fmt: skip
        try:
            decision = selection.decide(metric, candidates, champion, baseline, comparison, params.select)
        except (selection.NothingBeatsBaseline, selection.NothingPassesGates) as error:
            raise UserError(str(error)) from None
        winner, served, challenger = decision.winner, decision.served(params.select), None
        if decision.is_new:
            with databases.failures_explained():
                challenger = _register(client, params, paths, winner.bundle)
                if served is winner:
                    approval.make_champion(client, params.dataset, challenger, approval.AUTOMATIC, decision.reason)
                    version, challenger = challenger, None
                else:
                    client.set_registered_model_alias(params.dataset, registry.CHALLENGER, challenger)
        shutil.rmtree(paths.bundle, ignore_errors=True)
        if served is not None:
            shutil.copytree(served.bundle, paths.bundle)
    report = selection.report(decision) | {"version": version if served else None, "challenger": challenger}
    paths.selection.write_text(json.dumps(_nan_as_null(report), indent=2) + "\n", encoding="utf-8")
    for line in report["held_back"]:
        print(f"  {params.dataset}: {line}")
    if challenger is None:
        print(f"  {params.dataset}: {winner.name} is served as version {version}: {decision.reason}")
        return
    command = f'make approve DATASET={params.dataset} VERSION={challenger} NOTE="…"'
    waits = f"{winner.name} is version {challenger} and waits for approval: {command}: {decision.reason}"
    if served is None:
        raise UserError(f"{waits}. Until then nothing can be served.")
    print(f"  {params.dataset}: {waits}. Version {version} is served meanwhile.")


def _register(client: registry.MlflowClient, params: Params, paths: Paths, bundle: Path) -> str:
    """The version of a bundle: a bundle that is registered already stays the version that it is."""
    if known := registry.version_of(client, params.dataset, bundle):
        return known
    trained_on = row_ids(pq.read_table(paths.prepared / "train.parquet"))
    settings = params.model_dump_json(by_alias=True, indent=2)
    tags = version_tags(*open_bundle(bundle), paths)
    return registry.register_bundle(client, params.dataset, bundle, trained_on, settings, tags)


def _contender(
    name: str, bundle: Path, predictor: Predictor, value: float, exclusion: Exclusion | None = None
) -> Contender:
    manifest = predictor.manifest
    return Contender(name, bundle, value, manifest.n_parameters, manifest.trial, exclusion)


def _references(
    params: Params, schema: Schema, paths: Paths, validation: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """The validation metric of each of scikit-learn's models, trained on the same rows; NaN where it has none."""
    from pipeline.evaluation.references import fit_and_score, references

    metric, train = params.metric_for(schema.task), read_part(paths.prepared / "train.parquet", schema)
    fitted = {name: fit_and_score(schema, model, train, validation) for name, model in references(schema).items()}
    return {name: values[f"val_{metric}"] for name, values in fitted.items() if f"val_{metric}" in values}


def _n_trainings(params: Params, paths: Paths) -> int:
    """Among how many trained networks the candidates were chosen."""
    with (paths.candidates / "trials.csv").open(newline="", encoding="utf-8") as file:
        return params.train.restarts * sum(1 for _ in csv.DictReader(file))


def _exclusion(schema: Schema, champion: Predictor, bundle: Path, train_md5: str, paths: Paths) -> Exclusion | None:
    """Why no fair comparison with a champion is possible.

    Args:
        bundle: the champion's, as downloaded.
        train_md5: of the train rows of the candidates.
    """
    if [(f.name, f.kind) for f in champion.schema.features] != [(f.name, f.kind) for f in schema.features]:
        return Exclusion.FEATURES
    if champion.schema.classes != schema.classes:
        return Exclusion.CLASSES
    if champion.manifest.train_md5 == train_md5:
        return None
    trained_on = registry.trained_on(bundle)
    if trained_on is None:
        return Exclusion.UNKNOWN_ROWS
    now = row_ids(pq.read_table(paths.prepared / "validation.parquet"))
    return Exclusion.TRAINED_ON if np.isin(now, trained_on).any() else None


def _nan_as_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nan_as_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_as_null(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
