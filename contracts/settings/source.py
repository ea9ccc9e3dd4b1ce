"""The section `data` of a file in `catalog/`: where a dataset comes from, how it is read and divided."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from contracts.errors import show
from contracts.settings.space import Section

Task = Literal["multiclass", "binary", "multilabel", "regression"]
READERS = ("scikit-learn", "idx", "statlib_housing", "csv")
IDX_FILES = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
)  # fmt: skip
# The tasks of each dataset of scikit-learn.
SCIKIT_LEARN: dict[str, tuple[Task, ...]] = {
    "iris": ("multiclass", "regression"), "wine": ("multiclass", "regression"), "digits": ("multiclass", "regression"),
    "breast_cancer": ("binary", "multiclass", "regression"), "digit_properties": ("multilabel",),
    "diabetes": ("regression",), "linnerud": ("regression",),
}  # fmt: skip
# The values of an ordered category, the lowest first.
Order = Annotated[tuple[str | int | float, ...], Field(strict=False, min_length=2)]

Targets = Annotated[tuple[str, ...], Field(strict=False, min_length=2)]


def _check_levels(levels: tuple[float, ...]) -> tuple[float, ...]:
    rise = all(low < high for low, high in pairwise((0.0, *levels, 1.0)))
    if levels and not (rise and 0.5 in levels[1:-1]):
        raise ValueError(f"levels that rise between 0 and 1, with 0.5 between others, received {show(list(levels))}")
    return levels


Levels = Annotated[tuple[float, ...], Field(strict=False, max_length=99), AfterValidator(_check_levels)]


class Image(Section):
    """The size of an image and the value of its brightest pixel."""

    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    maximum: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Split(Section):
    """What decides the part of a row: its content, its group, its time, a column, or chance."""

    by: Literal["hash", "group", "time", "column", "random"]
    column: str | None = None

    @model_validator(mode="after")
    def has_a_column_where_it_needs_one(self) -> "Split":
        if (self.column is None) == (self.by in ("group", "time", "column")):
            expected = "a column" if self.column is None else "no column"
            raise ValueError(f"{expected} for by: {self.by}, received {self.column or 'none'}")
        return self


class Source(Section):
    """Where a dataset comes from and what is predicted; `$DATA_MIRROR/<dataset>/<file>` is tried before `addresses`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    source: str
    """A file, a folder of files or of images by class, an address, or a query; or scikit-learn, idx, statlib_housing
    or csv."""
    task: Task | None = None
    """What is predicted: one class of several or of two, several labels at once, or a number; null = the values of the
    target decide."""
    target: str | Targets | None = None
    """The column to predict, or a list of columns that one network predicts together: numbers, or labels that are true
    or false; needed for a file, a query and csv."""
    quantiles: Levels = Field(default=())
    """The levels of the quantiles that are predicted beside the median, for `task: regression`, such as
    [0.05, 0.5, 0.95]; [] = none."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """The text between the labels of a target that holds several in one text, such as `|`; null = one value."""
    columns: dict[str, Literal["number", "category", "drop"] | Order] = Field(default={})
    """The use of a column, by its name, where the one that is found is wrong: number, category, drop, or a list of the
    values of an ordered category, the lowest first. A column that is left out can be learned from in this way."""
    split: Split | None = None
    """What divides the rows: `{by: hash}`, `{by: group, column: customer}`, `{by: time, column: date}`,
    `{by: column, column: part}` or `{by: random}`; null = hash for your own data, random for other datasets."""
    test_source: str | None = None
    """A file, a folder or an address with the test rows; null = test rows are taken from `source`."""
    database: str | None = None
    """The environment variable that holds the address of the database for a query in `source`; null = no query."""
    max_categories: Annotated[int, Field(ge=1, le=1_000_000)] = 255
    """How many values of a category have a code of their own, the most frequent ones; the others share one code."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The character between two values of a text file; null = detected."""
    decimal: Literal[".", ","] | None = None
    """The decimal mark of a text file; null = detected."""
    encoding: str | None = None
    """The encoding of a text file; null = detected."""
    missing: tuple[str, ...] | None = Field(default=None, strict=False)
    """Texts that mean a missing value beside a blank, such as -999; null = NA, NaN, null, None, ? and the like."""
    weight: str | None = None
    """The column that says how much each row counts in training; metrics count every row once; null = equal weights."""
    classes: tuple[str, ...] | None = Field(default=None, strict=False)
    """Names of the classes in the order of their codes, for idx; null = 0 to 9."""
    image: Image | None = None
    """The size of the images, for idx, scikit-learn's digits and a folder of images; null = a table."""
    addresses: tuple[str, ...] = Field(default=(), strict=False)
    """URLs, tried in turn; `{file}` stands for a name in `files`."""
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(default={})
    """SHA-256 of each file's content after decompression, by the file's name."""

    @property
    def is_file(self) -> bool:
        """Whether the rows are the user's own, from a path, an address or a query, and not from a named reader."""
        return self.source not in READERS

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict; none for pictures by class and for readers that name the target themselves."""
        return self.target if isinstance(self.target, tuple) else () if self.target is None else (self.target,)

    def order_of(self, column: str) -> tuple[str, ...] | None:
        """The values of an ordered category, as texts; None for every other column."""
        role = self.columns.get(column)
        return tuple(map(str, role)) if isinstance(role, tuple) else None

    @property
    def dropped(self) -> frozenset[str]:
        """The columns that are left out, whatever they hold."""
        return frozenset(name for name, role in self.columns.items() if role == "drop")

    @property
    def splits_by(self) -> Split:
        """What divides the rows."""
        return self.split or Split(by="hash" if self.is_file else "random")

    @model_validator(mode="after")
    def has_what_its_source_needs(self) -> "Source":
        orders = {name: order for name in self.columns if (order := self.order_of(name)) is not None}
        if repeated := [name for name, order in orders.items() if len(set(order)) < len(order)]:
            raise ValueError(f"each value of an ordered category once, received one twice for {repeated[0]}")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"each column of target once, received {', '.join(self.targets)}")
        if self.quantiles and (self.task != "regression" or len(self.targets) > 1):
            received = show(self.task) if self.task != "regression" else f"{len(self.targets)} targets"
            raise ValueError(f"task: regression of one number for quantiles, received {received}")
        if self.weight in self.columns:
            raise ValueError(f"no role under columns for the column of weights, received one for {self.weight}")
        if self.is_file:
            several = self.separator is not None or len(self.targets) > 1
            if several and (self.task in ("binary", "multiclass") or (self.separator and len(self.targets) > 1)):
                raise ValueError("one column without separator for classes; a separator for one column only")
            if self.task == "multilabel" and not several:
                raise ValueError("a list of columns as target, or a separator, for task: multilabel")
            if self.target is None and self.image is None:
                raise ValueError("target: the name of the column to predict; or image, for a folder of images by class")
            if self.database is not None and self.test_source is not None:
                raise ValueError("a column that says the part (split) for a query, received test_source")
            return self
        if self.test_source is not None or self.database is not None:
            raise ValueError(f"test_source and database only with your own data, received source: {self.source}")
        if self.task is None:
            raise ValueError(f"task: what is predicted, for source: {self.source}")
        if self.source != "scikit-learn" and not (self.files and self.addresses):
            raise ValueError("files with their sha256, and addresses, for a source that is downloaded")
        for name in self.files:
            if name != Path(name).name or name in {"", ".", ".."}:
                raise ValueError(f"a plain file name, received {name!r}")
        if self.source == "csv" and self.target is None:
            raise ValueError("target: the name of the column to predict")
        if self.source == "idx" and self.image is None:
            raise ValueError("image: height, width and maximum of a pixel")
        return self

    @model_validator(mode="after")
    def has_nothing_that_its_source_ignores(self) -> "Source":
        first = tuple(self.files)[:1]
        names = {"idx": IDX_FILES, "statlib_housing": first, "csv": first}.get(self.source, ())
        if set(self.files) != set(names) or (self.addresses and not names):
            expected = f"the files {', '.join(names)} alone" if names else "no files and no addresses"
            raise ValueError(f"{expected} for source: {self.source}, received {show([*self.files, *self.addresses])}")
        return self
