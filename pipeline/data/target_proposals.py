"""The target that `add-data` proposes, and how it reads TARGET and SEPARATOR."""

import re
import shlex

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.data.roles import role_of

# Frequent names of targets, to propose one.
TARGET_NAME = re.compile(
    r"(^|[ _.])(target|label|class|outcome|response|churn|default|price|survived|y)$", re.IGNORECASE
)
SEPARATORS = ("|", ";", ",")
SEPARATED = 0.1  # share of the texts with a separator from which on a column may hold several labels in each text
MOST_LABELS, FEWEST_ROWS = 50, 3  # most labels, and fewest rows of each


def likely_target(frame: pd.DataFrame) -> str:
    """The last column with a frequent name of a target, else the last that is not an identifier."""
    usable = [str(name) for name in frame if role_of(frame[name]) is None or separator_of(frame[name])]
    usable = usable or [str(name) for name in frame]
    return next((name for name in reversed(usable) if TARGET_NAME.search(name)), usable[-1])


def several_targets(target: str, columns: list[str], separator: str | None) -> str | tuple[str, ...]:
    """The names in `a,b`; the unchanged text if none of them is a column.

    Raises:
        UserError: if a name is blank or repeated, or if a separator is given, too.
    """
    names = [name.strip() for name in target.split(",")]
    if not set(names) & set(columns):
        return target
    if "" in names or len(set(names)) < len(names):
        raise UserError(f"TARGET: expected each column once, as a,b, received {target!r}")
    if separator is not None:
        raise UserError(f"SEPARATOR: expected one column that holds several labels as TARGET, received {target!r}")
    return tuple(names)


def separator_of(column: pd.Series) -> str | None:
    """The character between the labels of a column that holds several in one text: few labels, in many combinations."""
    texts = column.dropna()
    if texts.empty or not pd.api.types.is_string_dtype(texts):
        return None
    for sign in SEPARATORS:
        if texts.str.contains(sign, regex=False).mean() < SEPARATED:
            continue
        labels = texts.str.split(sign, regex=False).explode().str.strip()
        counts = labels[labels != ""].value_counts()
        if 2 <= len(counts) <= MOST_LABELS and len(counts) < texts.nunique() and counts.min() >= FEWEST_ROWS:
            return sign
    return None


def labels_hint(columns: pa.Table, source: Source) -> str | None:
    """A hint if the one column to predict seems to hold several labels."""
    if source.separator is not None or len(source.targets) != 1:
        return None
    (name,) = source.targets
    sign = separator_of(columns[name].to_pandas())
    if sign is None:
        return None
    return f"{name} looks as if it held several labels in one text: SEPARATOR={shlex.quote(sign)} predicts each of them"


def label_shares(target: pa.ChunkedArray) -> str:
    """The labels of a target, each with its share of rows."""
    labels = target.combine_chunks()
    shares = [pc.mean(labels.field(number).cast(pa.int8())).as_py() for number in range(labels.type.num_fields)]
    names = [labels.type.field(number).name for number in range(labels.type.num_fields)]
    return "labels: " + ", ".join(f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True))
