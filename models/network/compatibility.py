"""Checks, without TensorFlow, that a network can be built for a schema."""

from contracts.errors import nearest
from contracts.schema import NumericFeature, Schema
from contracts.settings.space import SearchSpace
from contracts.spec import BINNED, Spec


def schema_problems(spec: Spec, schema: Schema) -> list[str]:
    """Hyperparameters that do not suit a schema, as `name: expected …, received …`."""
    names = [feature.name for feature in schema.features]
    problems = []
    for path in ("wide", "deep"):
        for name in getattr(spec, path) or ():
            if name not in names:
                problems.append(f"{path}: expected features of {schema.dataset}{_received(name, names)}")
    if schema.image is None and (spec.shift or spec.flip):
        problems.append(
            f"{'shift' if spec.shift else 'flip'}: expected only with images, which {schema.dataset} does not have"
        )
    if spec.target_scale == "log" and (unfit := [target.name for target in schema.numbers if target.log is None]):
        problems.append(
            f"target_scale: expected plain, because train values of {', '.join(unfit)} are below 0, received 'log'"
        )
    numbers = [] if schema.image else [column for column in schema.inputs if isinstance(column, NumericFeature)]
    if schema.image is not None and spec.numeric not in ("auto", "none", "standardise"):
        problems.append(f"numeric: expected auto, none or standardise for images, received {spec.numeric!r}")
    if schema.image is not None and spec.numeric == "standardise" and schema.image.std is None:
        problems.append("numeric: expected a schema with the mean of the pixels for standardise: preprocess again")
    if schema.image is None and spec.numeric in ("robust", "pbld") and any(f.quartiles is None for f in numbers):
        problems.append(f"numeric: expected a schema with quartiles for {spec.numeric}: preprocess again")
    if spec.categorical == "embedding" and not any(f.kind == "categorical" for f in schema.features):
        problems.append(
            f"categorical: expected one_hot or by_size, because none of the {len(schema.features)} features of "
            f"{schema.dataset} is a category, received 'embedding'"
        )
    if spec.clip_output and any(target.minimum is None for target in schema.numbers):
        problems.append("clip_output: expected a schema with the ends of the target: preprocess again")
    if spec.numeric in BINNED and any(not feature.tree_bins for feature in numbers):
        problems.append(f"numeric: expected preprocess.bins above 0 for {spec.numeric!r}")
    return problems


def number_problems(space: SearchSpace, schema: Schema) -> list[str]:
    """Embeddings of numbers that a space fixes for a table without any, as `name: expected …, received …`.

    A choice between encodings is no problem: the spaces that suit every table have one.
    """
    if schema.image is not None or any(isinstance(column, NumericFeature) for column in schema.inputs):
        return []
    why = f"because none of the {len(schema.features)} features of {schema.dataset} is a number"
    problems = []
    if (numeric := space.get("numeric")) in ("piecewise", "piecewise_sum", "periodic", "pbld"):
        problems.append(f"numeric: expected auto, none or standardise, {why}, received {numeric!r}")
    if isinstance(size := space.get("numeric_embedding"), int) and size > 0:
        problems.append(f"numeric_embedding: expected 0, {why}, received {size}")
    return problems


def _received(name: str, names: list[str]) -> str:
    hint = nearest(name, names) or f"; it has {', '.join(names)}"
    return f", received {name!r}{hint}"
