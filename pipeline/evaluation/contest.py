"""The candidates of a selection on the validation rows: their metric, the gates, and the reference models."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.errors import UserError
from contracts.metrics import BY_NAME, Metric
from contracts.schema import Schema, load_schema
from contracts.settings.load import Params
from pipeline.data.splits import count_rows, encode_rows, read_part, read_rows
from pipeline.evaluation.gates.judge import Validation, judge
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.evaluation.scoring import Scored, score
from pipeline.paths import Paths
from pipeline.tables import TARGET

MOST_TRAIN_ROWS = 1_000_000  # train rows of reference models


@dataclass(frozen=True)
class Contest:
    """The inputs of every step of the choice; `scratch` is a folder for bundles until the choice is made.

    `table` has the same rows as `validation`, whose numbers are those of `schema`. `is_sample` is whether there are
    more validation rows.
    """

    params: Params
    paths: Paths
    schema: Schema
    metric: Metric
    table: pa.Table
    validation: Validation
    scratch: Path
    is_sample: bool = False


def open_contest(params: Params, paths: Paths, scratch: Path) -> Contest:
    """Read the validation rows. Raises `UserError` with every gate that does not fit the data."""
    schema = load_schema(paths.prepared / "schema.json")
    if problems := gate_problems(params.select.gates, schema, paths.prepared / "validation.parquet"):
        raise UserError("\n  ".join([f"invalid settings for {schema.dataset}:", *map(str, problems)]))
    file, most = paths.prepared / "validation.parquet", params.search.validation_rows
    table = read_rows(file, most, params.search.seed)  # the rows on which the trials were compared
    rows, y = encode_rows(table, schema)
    frame = table.drop_columns([TARGET, *([schema.image.name] if schema.image else [])]).to_pandas()
    metric = BY_NAME[params.metric_for(schema.task)]
    return Contest(params, paths, schema, metric, table, Validation(frame, rows, y), scratch, len(y) < count_rows(file))


def score_bundle(contest: Contest, name: str, bundle: Path, schema: Schema) -> Scored:
    """Score a bundle on the validation rows, in the codes of its own schema: those of an earlier version may differ."""
    validation, threshold = contest.validation, contest.params.select.threshold
    rows = validation.rows if schema.features == contest.schema.features else encode_rows(contest.table, schema)[0]
    return score(name, bundle, contest.metric, threshold, rows, validation.y, contest.scratch)


def score_candidates(contest: Contest) -> list[Scored]:
    """Every candidate in the order of the ranking, with the verdicts of the gates that are set."""
    folders = sorted((path for path in contest.paths.candidates.iterdir() if path.is_dir()), key=lambda p: int(p.name))
    scored = [score_bundle(contest, f"candidate {folder.name}", folder, contest.schema) for folder in folders]
    gates = contest.params.select.gates
    if not gates.model_fields_set:
        return scored
    others = _references(contest) if gates.references else {}

    def judged(candidate: Scored) -> Scored:
        verdicts = judge(
            gates, candidate.contender.bundle, candidate.predictor, candidate.predictions, contest.validation,
            contest.metric, others, contest.params.select.confidence, contest.params.preprocess.seed,
        )  # fmt: skip
        return replace(candidate, contender=replace(candidate.contender, verdicts=verdicts))

    return [judged(candidate) for candidate in scored]


def _train_rows(contest: Contest) -> tuple[np.ndarray, np.ndarray]:
    """The train rows, or a sample of many, because scikit-learn's models hold all of them in memory."""
    params = contest.params
    return read_part(contest.paths.prepared / "train.parquet", contest.schema, MOST_TRAIN_ROWS, params.preprocess.seed)


def _references(contest: Contest) -> dict[str, float]:
    """The validation metric of each of scikit-learn's models, trained on the same rows; a model without a defined
    metric is absent.
    """
    from pipeline.evaluation.references import fit_and_score, references

    schema, train, held_out = contest.schema, _train_rows(contest), (contest.validation.rows, contest.validation.y)
    fitted = {name: fit_and_score(schema, model, train, held_out) for name, model in references(schema).items()}
    key = f"val_{contest.metric.name}"
    return {name: values[key] for name, values in fitted.items() if key in values}


def boosting_ahead_of(contest: Contest, winner: Scored) -> str:
    """A sentence if boosted trees are better on the user's own table; empty if they are not."""
    params, schema = contest.params, contest.schema
    if not params.source.is_file or schema.image is not None:
        return ""
    from pipeline.evaluation.references import boosting_ahead  # scikit-learn's import takes seconds

    rows, confidence = (contest.validation.rows, contest.validation.y), params.select.confidence
    train = _train_rows(contest)
    sentence = boosting_ahead(schema, train, rows, contest.metric, winner.judged, confidence, params.preprocess.seed)
    of, n_rows = len(train[1]), count_rows(contest.paths.prepared / "train.parquet")
    return f"{sentence}; the trees trained on {of:,} of {n_rows:,} train rows" if sentence and of < n_rows else sentence
