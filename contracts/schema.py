"""The frozen schema of a dataset: its features, their ranges and categories, and its target.

`preprocess` infers it on the train split. The Keras input, the service's validation, the MLflow signature and the
OpenAPI examples are derived from it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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
