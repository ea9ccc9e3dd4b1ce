"""What can be wrong between the settings and a dataset's schema, found before any row is read."""

import difflib
from pathlib import Path

from contracts.errors import UserError
from contracts.schema import Schema
from contracts.settings.load import FineTune, Params
from contracts.settings.space import specs_tried
from contracts.spec import Spec
from models.network.compatibility import schema_problems


def check(params: Params, schema: Schema) -> None:
    """Refuse networks that such data cannot have.

    Raises:
        UserError: with every problem, each as `section.key: expected …, received …`.
    """
    specs = specs_tried(params.search.space)
    problems = [f"search.space.{problem}" for spec in specs for problem in schema_problems(spec, schema)]
    problems += _class_weight_problems(params.train.class_weights, schema)
    if params.train.fine_tune is not None:
        problems += _fine_tune_problems(params.train.fine_tune, specs, schema)
    if problems:
        raise UserError("\n  ".join([f"{schema.dataset} cannot be trained so:", *dict.fromkeys(problems)]))


def _class_weight_problems(weights: str | dict[str, float], schema: Schema) -> list[str]:
    if weights == "none":
        return []
    if schema.task not in ("multiclass", "binary"):
        return [f"train.class_weights: expected none for {schema.task}, received {weights!r}"]
    problems = []
    for name in weights if isinstance(weights, dict) else ():
        if name not in schema.classes:
            near = difflib.get_close_matches(name, schema.classes, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(schema.classes)
            problems.append(f"train.class_weights: expected classes among {known}, received {name!r}{hint}")
    return problems


def _fine_tune_problems(fine_tune: FineTune, specs: list[Spec], schema: Schema) -> list[str]:
    # Imported here: only these settings need another bundle.
    from contracts.bundle import BundleDamaged, open_bundle

    try:
        manifest, theirs = open_bundle(Path(fine_tune.bundle))
    except BundleDamaged as error:
        return [f"train.fine_tune.bundle: expected a bundle, received {fine_tune.bundle!r}: {error}"]
    source = Spec(**manifest.hyperparameters)
    n = fine_tune.layers
    problems = []
    if n > source.depth:
        problems.append(f"train.fine_tune.layers: expected at most {source.depth}, which the bundle has, received {n}")
    if theirs.input_width != schema.input_width:
        problems.append(
            f"train.fine_tune.bundle: expected {schema.input_width} inputs, received one with {theirs.input_width}"
        )
    for spec in specs:
        if spec.widths[:n] != source.widths[:n]:
            problems.append(
                f"train.fine_tune.bundle: expected hidden layers of {list(spec.widths[:n])} as search.space says, "
                f"received one with {list(source.widths[:n])}"
            )
    return problems
