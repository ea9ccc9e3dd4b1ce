"""The frozen schema of a dataset, and the only preprocessing that is done outside the graph.

`preprocess` infers it on the train split; the Keras input, the checks at the service's door, the MLflow
signature and the OpenAPI example are all derived from it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

UNKNOWN = 0  # the code of a category that training never saw, and of a missing one


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericFeature(_Frozen):
    """A number. The constants are those of the train split, missing values left out.

    `quantiles` and `tree_bins` are rising edges of intervals; both are empty where none were asked for.
    """

    kind: Literal["numeric"] = "numeric"
    name: str
    minimum: float
    maximum: float
    mean: float
    std: float
    median: float
    missing: bool
    quantiles: tuple[float, ...] = ()
    tree_bins: tuple[float, ...] = ()


class CategoricalFeature(_Frozen):
    """One of `categories`; category i has the code i + 1."""

    kind: Literal["categorical"] = "categorical"
    name: str
    categories: tuple[str, ...]
    missing: bool


class ImageFeature(_Frozen):
    """A grey image as rows of pixels between 0 and `maximum`; mean and deviation are those of all train pixels."""

    kind: Literal["image"] = "image"
    name: str
    height: int
    width: int
    maximum: float
    mean: float | None = None  # in schemas of older bundles
    std: float | None = None


Feature = Annotated[NumericFeature | CategoricalFeature | ImageFeature, Field(discriminator="kind")]


class ClassTarget(_Frozen):
    """Two or more classes; class i is encoded as i. `frequencies` are those of the train split."""

    name: str
    classes: tuple[str, ...]
    frequencies: tuple[float, ...]


class NumericTarget(_Frozen):
    """A number; the constants are those of the train split."""

    name: str
    mean: float
    std: float


class LabelsTarget(_Frozen):
    """Labels of which each is true or not; `frequencies` are the shares of true ones in the train split."""

    name: str
    classes: tuple[str, ...]
    frequencies: tuple[float, ...]
    multilabel: Literal[True]  # tells it from a ClassTarget when it is read


class NumericTargets(_Frozen):
    """Several numbers, predicted together."""

    name: str
    targets: tuple[NumericTarget, ...]


class Schema(_Frozen):
    """What a row of a dataset is: its features in order, its target, and a sample to try.

    `raw_md5` names the raw data it was inferred from; `weight` the column of example weights, if any.
    """

    dataset: str
    raw_md5: str
    task: Literal["multiclass", "binary", "multilabel", "regression"]
    features: tuple[Feature, ...]
    target: ClassTarget | LabelsTarget | NumericTarget | NumericTargets
    sample: dict[str, Any]
    weight: str | None = None

    @property
    def image(self) -> ImageFeature | None:
        """The image, for a dataset whose only feature is one."""
        first = self.features[0]
        return first if isinstance(first, ImageFeature) else None

    @property
    def input_width(self) -> int:
        """The number of columns of an encoded row."""
        return self.image.height * self.image.width if self.image else len(self.features)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of their codes, or the labels; empty for regression."""
        return self.target.classes if isinstance(self.target, ClassTarget | LabelsTarget) else ()

    @property
    def picks_one(self) -> bool:
        """Whether exactly one of the classes is right, so that the most probable one is the prediction."""
        return isinstance(self.target, ClassTarget)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the columns of a prediction are called: classes, labels, or the names of the numbers."""
        match self.target:
            case NumericTarget():
                return (self.target.name,)
            case NumericTargets():
                return tuple(target.name for target in self.target.targets)
            case _:
                return self.classes

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_schema(path: Path) -> Schema:
    return Schema.model_validate_json(path.read_bytes())


def encode(schema: Schema, columns: Mapping[str, Any]) -> np.ndarray:
    """Turn columns into what the graph reads: numbers as they are, categories as codes.

    Args:
        columns: for every feature its values: array-like of shape (n_rows,), with None or NaN where one
            is missing; for an image array-like of shape (n_rows, height, width). A DataFrame will do.

    Returns:
        float32 array of shape (n_rows, input_width), NaN where a number is missing.
    """
    if schema.image is not None:
        return np.asarray(columns[schema.image.name], dtype=np.float32).reshape(-1, schema.input_width)
    encoded = [
        _codes(feature, columns[feature.name])
        if isinstance(feature, CategoricalFeature)
        else np.asarray(columns[feature.name], dtype=np.float32)
        for feature in schema.features
    ]
    return np.stack(encoded, axis=1)


def encode_target(schema: Schema, values: Sequence[Any]) -> np.ndarray:
    """Class names as int32 codes, or numbers as float32; array of shape (n_rows,).

    Labels and several numbers come as a mapping per row and become float32 of shape (n_rows, n_outputs).
    """
    if isinstance(schema.target, NumericTarget):
        return np.asarray(values, dtype=np.float32)
    if not isinstance(schema.target, ClassTarget):
        return np.array([[row[name] for name in schema.outputs] for row in values], dtype=np.float32)
    code_of = {name: code for code, name in enumerate(schema.target.classes)}
    return np.fromiter((code_of[value] for value in values), dtype=np.int32, count=len(values))


def _codes(feature: CategoricalFeature, values: Sequence[Any]) -> np.ndarray:
    code_of = {category: code for code, category in enumerate(feature.categories, start=UNKNOWN + 1)}
    return np.fromiter((code_of.get(value, UNKNOWN) for value in values), dtype=np.float32, count=len(values))
