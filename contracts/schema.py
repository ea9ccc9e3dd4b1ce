"""The frozen schema, inferred from the train split; the Keras input, the checks of requests and examples follow it."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericFeature(_Frozen):
    """A numeric column, with statistics of the train split, in which missing values do not count.

    `quantiles` and `tree_bins` are rising edges of intervals, empty where `preprocess.bins` is 0.
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
    quartiles: tuple[float, float] | None = None  # None in schemas of older bundles


class CategoricalFeature(_Frozen):
    """A column with one of `categories`; category i has the code i + 1.

    `rare` counts the other values of the train rows, which are too rare for a code of their own. An ordered category
    has its values in order, and the statistics of their codes in `rank`: the network reads the code as a number.
    """

    kind: Literal["categorical"] = "categorical"
    name: str
    categories: tuple[str, ...]
    missing: bool
    rare: int = 0
    rank: NumericFeature | None = None


class ImageFeature(_Frozen):
    """A grey image: rows of pixels from 0 to `maximum`. `mean` and `std` are those of all train pixels."""

    kind: Literal["image"] = "image"
    name: str
    height: int
    width: int
    maximum: float
    mean: float | None = None  # None in schemas of older bundles
    std: float | None = None


class DateFeature(_Frozen):
    """A date or a time as text, in ISO 8601 or in `format` (that of `strptime`).

    The network reads `parts`: days since 1970, month from 1, weekday from 0, Monday, and the hour, where it varies.
    """

    kind: Literal["date"] = "date"
    name: str
    format: str
    missing: bool
    parts: Annotated[tuple[NumericFeature, ...], Field(min_length=3, max_length=4)]


Feature = Annotated[NumericFeature | CategoricalFeature | DateFeature | ImageFeature, Field(discriminator="kind")]


class ClassTarget(_Frozen):
    """Two or more classes, as texts; class i has the code i. `frequencies` are those of the train split, `kind` is the
    type that they have in the data and in an answer.
    """

    name: str
    classes: tuple[str, ...]
    frequencies: tuple[float, ...]
    kind: Literal["text", "integer", "boolean"] = "text"

    @property
    def labels(self) -> tuple[str | int | bool, ...]:
        """The classes as they were in the data, in the order of their codes."""
        if self.kind == "integer":
            return tuple(int(name) for name in self.classes)
        return tuple(name.lower() == "true" for name in self.classes) if self.kind == "boolean" else self.classes


class LogScale(_Frozen):
    """The logarithm of a number plus `offset`, 0 if all numbers are above 0, with statistics of the train split."""

    offset: float
    mean: float
    std: float


class NumericTarget(_Frozen):
    """A number, with statistics of the train split; `quantiles` has the level and the value of each quantile that a
    network predicts. `log` is None where a train value is below 0. `skewed` is whether a search tries the logarithm.
    """

    name: str
    mean: float
    std: float
    log: LogScale | None = None
    skewed: bool = False
    minimum: float | None = None  # None in schemas of older bundles
    maximum: float | None = None
    quantiles: tuple[tuple[float, float], ...] = Field(default=(), exclude_if=lambda pairs: not pairs)


class LabelsTarget(_Frozen):
    """Labels, each true or false. `frequencies` are the shares of true values in the train split."""

    name: str
    classes: tuple[str, ...]
    frequencies: tuple[float, ...]
    multilabel: Literal[True]  # distinguishes the JSON from that of a ClassTarget


class NumericTargets(_Frozen):
    """Several numbers that one network predicts together."""

    name: str
    targets: tuple[NumericTarget, ...]


class DroppedColumn(_Frozen):
    """A column of the data that no network learns from, and why."""

    name: str
    role: Literal["constant", "identifier", "text", "group", "split", "weight", "dropped"]
    reason: str


class SplitUsed(_Frozen):
    """The rule that divided the rows, as in the setting `data.split`, and notes about it for a person."""

    by: str
    column: str | None = None
    notes: tuple[str, ...] = ()


class TextForm(_Frozen):
    """How the text files of the data are written; later files of the same kind are read in the same way."""

    UNNAMED: ClassVar[str] = "unnamed"  # the first column if it has no name: the index that pandas and R write
    GROUPING: ClassVar[str] = " '’\u00a0\u202f"  # any of them may separate thousands, beside a comma or a point
    encoding: str = "utf-8"
    delimiter: str = ","
    decimal: str = "."
    missing: tuple[str, ...] = ("",)
    units: dict[str, str] = {}  # the character before or after the numbers of a column, such as $ or %


class Schema(_Frozen):
    """The features of a row in order, its target, and a sample row.

    `raw_md5` is the hash of the raw data; `weight` names the column of sample weights, if there is one. `text` is None
    if the data is not text. `missing_elsewhere` names features that are missing in some rows, but in no train row.
    """

    dataset: str
    raw_md5: str
    task: Literal["multiclass", "binary", "multilabel", "regression"]
    features: tuple[Feature, ...]
    target: ClassTarget | LabelsTarget | NumericTarget | NumericTargets
    sample: dict[str, Any]
    weight: str | None = None
    dropped: tuple[DroppedColumn, ...] = ()
    text: TextForm | None = None
    missing_elsewhere: tuple[str, ...] = ()
    split: SplitUsed | None = None  # None in schemas of older bundles

    @property
    def image(self) -> ImageFeature | None:
        """The image feature of a dataset of images, else None."""
        first = self.features[0]
        return first if isinstance(first, ImageFeature) else None

    @property
    def input_width(self) -> int:
        """The number of columns of an encoded row."""
        return self.image.height * self.image.width if self.image else len(self.inputs)

    @property
    def inputs(self) -> tuple[NumericFeature | CategoricalFeature, ...]:
        """What each column of an encoded row holds, for a table: a date has a column for each of its parts."""
        return tuple(column for feature in self.features for column in columns_of(feature))

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of their codes, or the labels; empty for regression."""
        return self.target.classes if isinstance(self.target, ClassTarget | LabelsTarget) else ()

    @property
    def ignored(self) -> dict[str, str]:
        """The columns of the data that a row may hold although no prediction depends on them, and why."""
        columns = {column.name: "no network learns from it" for column in self.dropped}
        outputs = () if isinstance(self.target, ClassTarget) else self.outputs  # several labels may be in one column
        return columns | dict.fromkeys((self.target.name, *outputs), "it is predicted")

    @property
    def labels(self) -> tuple[str | int | bool, ...]:
        """The classes as a prediction names them, as in the data; empty for labels and regression."""
        return self.target.labels if isinstance(self.target, ClassTarget) else ()

    @property
    def picks_one(self) -> bool:
        """Whether a row has exactly one class, so that the most probable class is the prediction."""
        return isinstance(self.target, ClassTarget)

    @property
    def numbers(self) -> tuple[NumericTarget, ...]:
        """The numbers that a regression predicts; empty for classes and labels."""
        if isinstance(self.target, NumericTargets):
            return self.target.targets
        return (self.target,) if isinstance(self.target, NumericTarget) else ()

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the quantiles that a network predicts, rising; empty where it predicts none."""
        return tuple(level for target in self.numbers for level, _ in target.quantiles)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns of a prediction: classes, labels, or the names of the numbers."""
        return tuple(target.name for target in self.numbers) or self.classes

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def columns_of(feature: Feature) -> tuple[NumericFeature | CategoricalFeature, ...]:
    """What the columns of one feature hold in an encoded row of a table."""
    if isinstance(feature, DateFeature):
        return feature.parts
    if isinstance(feature, CategoricalFeature) and feature.rank is not None:
        return (feature.rank,)
    assert not isinstance(feature, ImageFeature)
    return (feature,)


def load_schema(path: Path) -> Schema:
    return Schema.model_validate_json(path.read_bytes().replace(b'"__target__"', b'"target"'))  # in older bundles
