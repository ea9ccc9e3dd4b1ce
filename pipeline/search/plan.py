"""From settings and a prepared dataset to the plan of a search; every problem is reported before anything starts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from contracts.bundle import MANIFEST, BundleDamaged, open_bundle
from contracts.errors import UserError, nearest
from contracts.files import md5, sha256
from contracts.metrics import BY_NAME, Metric
from contracts.schema import Schema, load_schema
from contracts.settings.load import FineTune, Params, task_misfits
from contracts.settings.sections import Search
from contracts.settings.space_problems import corner_specs
from contracts.spec import NETWORK_VERSION, Spec
from models.network.compatibility import number_problems, schema_problems
from models.search.plan import Plan, plan_search
from pipeline.data.folds import possible_folds
from pipeline.data.splits import read_part
from pipeline.evaluation.baselines import baseline_input
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.paths import Paths
from pipeline.resources import choose, cores
from pipeline.search.open_choices import complete

PREPARED = {"train": "train.parquet", "validation": "validation.parquet", "schema": "schema.json"}


def make_plan(params: Params, paths: Paths) -> Plan:
    """The plan of a dataset's search.

    Raises:
        UserError: with every setting that does not fit the dataset, each as `section.key: expected …, received …`.
    """
    schema = load_schema(paths.prepared / "schema.json")
    _check_settings(params, schema, paths.prepared / PREPARED["validation"])
    metric = BY_NAME[params.metric_for(schema.task)]
    _check_metric(metric, schema, paths, params.search)
    study = present_study(params, paths)
    n_rows = pq.read_metadata(paths.prepared / PREPARED["train"]).num_rows
    choice = choose(params.train.memory, n_rows * schema.input_width * 4, "train.memory", is_lasting=True)
    streams = f"{n_rows:,} encoded train rows are {choice.reason}" if choice.streams else ""
    if streams and params.search.folds > 1:
        raise UserError(f"search.folds: expected 1 for {schema.dataset}, received {params.search.folds}: {streams}")
    if streams and params.search.distil:
        raise UserError(f"search.distil: expected false for {schema.dataset}, received true: {streams}")
    _check_rows(params.search, n_rows, schema.dataset)
    folds = params.search.folds
    if folds > 1:
        folds, why = possible_folds(paths.prepared / PREPARED["train"], schema, params.source, folds)
        if folds < params.search.folds:
            print(f"  {schema.dataset}: search.folds is {folds} instead of {params.search.folds}: {why}", flush=True)
    space = complete(params.search.space, schema, n_rows, metric)
    search = params.search.model_copy(update={"space": space, "folds": folds})
    params = params.model_copy(update={"search": search})
    plan = plan_search(params, schema.task, metric, study, _digests(paths), cores(), n_rows)
    return replace(plan, streams=streams)


def present_study(params: Params, paths: Paths) -> str:
    """The name of the study that a search with these settings and this prepared data continues."""
    task = load_schema(paths.prepared / "schema.json").task
    n_validation = pq.read_metadata(paths.prepared / PREPARED["validation"]).num_rows
    n_train = pq.read_metadata(paths.prepared / PREPARED["train"]).num_rows
    return study_name(params, params.metric_for(task), _digests(paths), n_validation, n_train)


def study_name(
    params: Params, metric: str, data_md5: Mapping[str, str], n_validation: int = 0, n_train: int = 0
) -> str:
    """The dataset and a hash of everything that makes trials comparable: data, schema, space, objective, version of the
    networks. The budget is not part of it, because more trials continue the same study. Neither is the place of the
    rows.
    """
    search = params.search.model_dump(
        mode="json", include={"space", "seed", "sampler", "pruner", "folds", "second_objective", "warmup_epochs"}
    )
    comparable = {
        "data": dict(data_md5),
        "objective": [metric, params.train.model_dump(mode="json", exclude={"memory"}), search],
        "networks": NETWORK_VERSION,
    }
    if n_validation > params.search.validation_rows:
        comparable["validation_rows"] = params.search.validation_rows
    if n_train > (params.search.rows or n_train):
        comparable["rows"] = params.search.rows
    if params.train.fine_tune is not None:  # another network under the same name begins another study
        manifest = Path(params.train.fine_tune.bundle) / MANIFEST
        comparable["fine_tuned_from"] = sha256(manifest) if manifest.exists() else None
    digest = hashlib.sha256(json.dumps(comparable, sort_keys=True).encode()).hexdigest()
    return f"{params.dataset}-{digest[:10]}"


def _digests(paths: Paths) -> dict[str, str]:
    return {part: md5(paths.prepared / name) for part, name in PREPARED.items()}


def _check_settings(params: Params, schema: Schema, validation: Path) -> None:
    misfits = [str(mistake.at(".".join(map(str, mistake.place)))) for mistake in task_misfits(params, schema.task)]
    if misfits:
        raise UserError("\n  ".join([f"invalid settings for {schema.dataset}:", *misfits]))
    specs = corner_specs(params.search.space)
    problems = [f"search.space.{problem}" for spec in specs for problem in schema_problems(spec, schema)]
    problems += [f"search.space.{problem}" for problem in number_problems(params.search.space, schema)]
    problems += _class_weight_problems(params.train.class_weights, schema)
    problems += map(str, gate_problems(params.select.gates, schema, validation))
    if params.train.fine_tune is not None:
        problems += _fine_tune_problems(params.train.fine_tune, specs, schema)
    if problems:
        raise UserError("\n  ".join([f"invalid settings for {schema.dataset}:", *dict.fromkeys(problems)]))


def _check_rows(search: Search, n_rows: int, dataset: str) -> None:
    """Refuse settings with their own way of ranking if trials train on a sample of the train rows."""
    if search.rows is None or search.rows >= n_rows:
        return
    why = f"because search.rows is {search.rows:,} of its {n_rows:,} train rows"
    if search.folds > 1:
        raise UserError(f"search.folds: expected 1 for {dataset}, {why}, received {search.folds}")
    if search.second_objective != "none":
        raise UserError(
            f"search.second_objective: expected none for {dataset}, {why}, received {search.second_objective}"
        )


def _check_metric(metric: Metric, schema: Schema, paths: Paths, search: Search) -> None:
    """Refuse a metric that the validation rows do not define."""
    if not metric.needs:
        return
    _, y = read_part(paths.prepared / PREPARED["validation"], schema, search.validation_rows, search.seed)
    if not np.isnan(metric.compute(y, baseline_input(metric, schema, len(y)))):
        return
    if schema.picks_one:
        counts = np.bincount(y, minlength=len(schema.classes))
        received = ", ".join(f"{count} of {name}" for name, count in zip(schema.classes, counts, strict=True))
    else:
        received = f"{len(y)} rows with targets from {np.min(y):g} to {np.max(y):g}"
    raise UserError(
        f"search.metric: expected {metric.needs} among the validation rows of {schema.dataset} for {metric.name}, "
        f"received {received}"
    )


def _class_weight_problems(weights: str | dict[str, float], schema: Schema) -> list[str]:
    if weights == "none":
        return []
    if schema.task not in ("multiclass", "binary"):
        return [f"train.class_weights: expected none for {schema.task}, received {weights!r}"]
    problems = []
    for name in weights if isinstance(weights, dict) else ():
        if name not in schema.classes:
            known, hint = ", ".join(schema.classes), nearest(name, schema.classes)
            problems.append(f"train.class_weights: expected classes among {known}, received {name!r}{hint}")
    return problems


def _fine_tune_problems(fine_tune: FineTune, specs: list[Spec], schema: Schema) -> list[str]:
    try:
        manifest, source_schema = open_bundle(Path(fine_tune.bundle))
    except BundleDamaged as error:
        return [f"train.fine_tune.bundle: expected a bundle, received {fine_tune.bundle!r}: {error}"]
    if manifest.members:
        n = len(manifest.members)
        return [f"train.fine_tune.bundle: expected a bundle of one network, received an ensemble of {n}"]
    source = Spec(**manifest.hyperparameters)
    n = fine_tune.layers
    problems = []
    if n > source.depth:
        problems.append(f"train.fine_tune.layers: expected at most {source.depth}, which the bundle has, received {n}")
    if source_schema.input_width != schema.input_width:
        problems.append(
            f"train.fine_tune.bundle: expected {schema.input_width} inputs, "
            f"received one with {source_schema.input_width}"
        )
    for spec in specs:
        if spec.widths[:n] != source.widths[:n]:
            problems.append(
                f"train.fine_tune.bundle: expected hidden layers of {list(spec.widths[:n])} as search.space says, "
                f"received one with {list(source.widths[:n])}"
            )
    return problems
