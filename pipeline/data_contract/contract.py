"""The contract of a dataset: a file with a rule for each column, which people read and edit."""

import io
import math
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from contracts.errors import Problem, UserError, show
from contracts.files import write_atomically
from contracts.settings.reading import MOST_BYTES, read_mapping
from contracts.settings.space import Section

FEW = 50  # up to this number, different texts are listed as the only ones allowed
FEW_NUMBERS = 20  # up to this number, different whole numbers are codes, whose range is not widened
HEADER = """\
# Rules for later data of {dataset}, made from {rows:,} rows. This file is yours: no command overwrites it.
# `make check-data DATASET={dataset} DATA=new.csv` checks a file; `make repro` checks the data before it trains.
# type: number, date or text; minimum, maximum: the limits; values: the only ones allowed;
# missing: the largest share of missing values, 0 if the key is absent.
"""
Share = Annotated[float, Field(ge=0, le=1)]


class NumberColumn(Section):
    type: Literal["number"]
    minimum: float | None = None
    maximum: float | None = None
    missing: Share = 0.0


class DateColumn(Section):
    type: Literal["date"]
    minimum: Annotated[date, Field(strict=False)] | None = None
    maximum: Annotated[date, Field(strict=False)] | None = None
    missing: Share = 0.0


class TextColumn(Section):
    type: Literal["text"]
    values: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    missing: Share = 0.0


ColumnRule = NumberColumn | DateColumn | TextColumn


class Contract(Section):
    """A rule for every column of the data, the target among them."""

    columns: dict[str, Annotated[ColumnRule, Field(discriminator="type")]]


def infer_contract(table: pa.Table) -> Contract:
    """Rules that a table keeps, with room for later rows: wider ranges, and 1.5 times the share of missing values."""
    return Contract(columns={field.name: _rule(table[field.name]) for field in table.schema})


def write_contract(path: Path, dataset: str, contract: Contract, rows: int) -> None:
    """Write a new file.

    Raises:
        UserError: if there is a file already, which belongs to the user, or if there are too many columns for a file
            that is read again.
    """
    if path.exists():
        raise UserError(f"{path} exists already, and is not overwritten: edit it, or remove it for a new one")
    columns = CommentedMap()
    for name, rule in contract.columns.items():
        said = rule.model_dump(exclude_defaults=True)
        columns[name] = CommentedMap({key: _plain(value) for key, value in said.items()})
        columns[name].fa.set_flow_style()
    writer = YAML()
    writer.width = 118
    text = io.StringIO(HEADER.format(dataset=dataset, rows=rows))
    text.seek(0, io.SEEK_END)
    writer.dump({"columns": columns}, text)
    content = text.getvalue().encode()
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{path}: expected at most {MOST_BYTES // 1024} KiB, received {-(-len(content) // 1024)} KiB for "
            f"{len(columns):,} columns: a contract cannot check so many"
        )
    with write_atomically(path) as unfinished:
        unfinished.write_bytes(content)


def _plain(value: Any) -> Any:
    """A value as a person writes it: 3 for 3.0."""
    if isinstance(value, tuple):
        return list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_contract(path: Path) -> Contract:
    """The contract in a file.

    Raises:
        UserError: with every problem of the file.
    """
    content = read_mapping(path, str(path))
    if isinstance(content, Problem):
        raise UserError(str(content))
    try:
        return Contract.model_validate(content)
    except ValidationError as error:
        raise UserError("\n  ".join(str(_problem(path, item)) for item in error.errors())) from None


def _problem(path: Path, item: object) -> Problem:
    assert isinstance(item, dict)
    place = [str(part) for part in item["loc"] if part not in ("number", "date", "text")]
    where = f"{path}: {'.'.join(place)}"
    match item["type"]:
        case "missing":
            return Problem(where, "a value", "none")
        case "extra_forbidden":
            return Problem(where, "type, minimum, maximum, values or missing, as its type allows", "another key")
        case "union_tag_invalid" | "union_tag_not_found":
            return Problem(f"{where}.type", "number, date or text", show(item.get("ctx", {}).get("tag", item["input"])))
        case _:
            return Problem(where, item["msg"].removeprefix("Input should be "), show(item["input"]))


def _rule(column: pa.ChunkedArray) -> ColumnRule:
    missing = column.null_count / max(len(column), 1)
    allowed = min(1.0, math.ceil(150 * missing) / 100)
    kind, present = column.type, column.drop_null()
    if pa.types.is_temporal(kind):
        ends = [value and pd.Timestamp(value).date() for value in pc.min_max(present).as_py().values()]
        return DateColumn(type="date", minimum=ends[0], missing=allowed)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        distinct = len(present.unique())
        if not len(present) or (pa.types.is_integer(kind) and FEW_NUMBERS < distinct == len(column)):  # it counts rows
            return NumberColumn(type="number", missing=allowed)
        low, high = map(float, pc.min_max(present).as_py().values())
        if not (pa.types.is_integer(kind) and distinct <= FEW_NUMBERS):
            low, high = _wider(low, high)
        return NumberColumn(type="number", minimum=low, maximum=high, missing=allowed)
    texts = present.cast(pa.string()).unique().to_pylist()
    few = len(texts) <= FEW and len(texts) < len(present) / 2
    return TextColumn(type="text", values=tuple(sorted(texts)) if few else None, missing=allowed)


def _wider(low: float, high: float) -> tuple[float, float]:
    """A range widened by its width on both sides, in two digits; a range without negative numbers stays without."""
    width = (high - low) or abs(high) or 1.0
    digits = 1 - math.floor(math.log10(width))
    below, above = round(low - width, digits), round(high + width, digits)
    below, above = (0.0 if low >= 0 else below), (0.0 if high <= 0 else above)
    return min(below, low), max(above, high)
