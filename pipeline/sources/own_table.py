"""The user's own table: files or pictures, with types from the settings or from the values."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.files import md5
from contracts.schema import TextForm
from contracts.settings.source import Image, Source
from pipeline.sources.column_checks import check_columns, describe_rows
from pipeline.sources.conversion.dates import parse_dates
from pipeline.sources.conversion.matching import MOSTLY
from pipeline.sources.conversion.types import with_text_for_null, without_markers
from pipeline.sources.conversion.values import MANY, Conversion, convert, is_number, markers_of
from pipeline.sources.delimited import Dialect
from pipeline.sources.files import Part, absolute, part_names, read_parts, sources_of
from pipeline.sources.image_folders import folder_md5, read_images
from pipeline.sources.target_column import restore_classes, with_target
from pipeline.tables import IS_TEST, note_date_format, note_text_form

LOOKED_AT = 1000  # first rows of a column of text in which numbers are looked for


class Reading(NamedTuple):
    """The user's own table; sentences about its form; and the hash of its files."""

    table: pa.Table
    notes: list[str]
    md5: str


def read_source(
    source: Source,
    see: Callable[[pa.Table], None] = lambda columns: None,
    read: Callable[[Source], list[Part]] = read_parts,
) -> Reading:
    """The rows of `source.source` with the target in `TARGET`, as text if it has classes; test rows are marked.

    Args:
        see: is called with all columns of a table, under their own names, before the target is taken from them.
        read: gives the rows of files; `first_parts` gives only some of them.

    Raises:
        UserError: if the data cannot be read, with every problem of its form; if it has no such target.
    """
    if source.image is not None:
        return _read_pictures(source, source.image)
    parts = read(source)
    table, notes = _joined(parts, source)
    see(table)
    if source.test_source is not None:
        is_test = np.repeat([part.is_test for part in parts], [part.table.num_rows for part in parts])
        table = table.append_column(IS_TEST, pa.array(is_test))
    table, left_out = with_target(table, source)
    return Reading(table, [*notes, *left_out], hash_of([part.md5 for part in parts]))


def read_columns(source: Source, read: Callable[[Source], list[Part]] = read_parts) -> pa.Table:
    """All columns of the files, before a target is chosen; raises as `read_source` does."""
    return _joined(read(source), source)[0]


def lineage(source: Source, digest: str | None) -> dict[str, str | None]:
    """The origin of the rows and their hash, with DVC's hash if it tracks the file. No credentials."""
    tracked = Path(f"{absolute(source.source)}.dvc")
    found: dict[str, str | None] = {"source": source.source, "md5": digest}
    if source.database is None and "://" not in source.source and tracked.is_file():
        found["dvc"] = YAML(typ="safe").load(tracked)["outs"][0].get("md5")
    more = {"test_source": source.test_source, "database": source.database}
    return found | {name: value for name, value in more.items() if value is not None}


def local_md5(source: Source) -> str | None:
    """The hash of files on this machine, as `read_source` computes it; None for other sources and missing files."""
    paths = [absolute(name) for name, _ in sources_of(source)]
    if source.database is not None or any("://" in path or not Path(path).exists() for path in paths):
        return None
    if source.image is not None:
        return hash_of([folder_md5(Path(path)) for path in paths])
    return hash_of([md5(Path(part)) for path in paths for part in part_names(path)])


def _read_pictures(source: Source, image: Image) -> Reading:
    folders = [(Path(absolute(name)), is_test) for name, is_test in sources_of(source)]
    tables, notes = zip(*(read_images(folder, image) for folder, _ in folders), strict=True)
    digest = hash_of([folder_md5(folder) for folder, _ in folders])
    if source.test_source is not None:
        tables = tuple(
            table.append_column(IS_TEST, pa.array([is_test] * table.num_rows))
            for table, (_, is_test) in zip(tables, folders, strict=True)
        )
    return Reading(pa.concat_tables(tables), list(notes), digest)


def hash_of(parts: list[str]) -> str:
    """The hash of a file; for several files, the hash of their hashes."""
    together = hashlib.md5("".join(parts).encode(), usedforsecurity=False)
    return parts[0] if len(parts) == 1 else together.hexdigest()


def _joined(parts: list[Part], source: Source) -> tuple[pa.Table, list[str]]:
    """The rows of all parts. The text of all parts is converted together, so that a column has one type."""
    names = parts[0].table.column_names
    for part in parts:
        if different := set(part.table.column_names) ^ set(names):
            columns = ", ".join(sorted(different))
            raise UserError(f"{part.path}: expected the columns of {parts[0].path}, different are {columns}")
    tables = [part.table.select(names) for part in parts]
    dialects = [part.dialect for part in parts if part.dialect is not None]
    if len(dialects) == len(parts):
        texts = pa.concat_tables(tables)
        as_text = {name for name, role in source.columns.items() if role not in ("number", "drop")}
        as_text |= _labels_of(source)
        as_numbers = {name for name, role in source.columns.items() if role == "number"}
        missing = markers_of(source.missing)
        table, found = convert(texts, missing, source.decimal, as_text, as_numbers)
        check_columns(table, source, found.no_numbers)
        form = TextForm(
            encoding=dialects[0].encoding, delimiter=dialects[0].delimiter, decimal=found.decimal,
            missing=missing, units=found.units,
        )  # fmt: skip
        return note_text_form(restore_classes(table, texts, source, found), form), _notes(dialects, found, table)
    typed = [
        without_markers(table, source.missing)
        if part.dialect is None
        else convert(table, markers_of(source.missing), source.decimal)[0]
        for part, table in zip(parts, tables, strict=True)
    ]
    try:
        table = pa.concat_tables(typed, promote_options="permissive")
        converted = _with_roles(table.cast(with_text_for_null(table.schema)), source)
        if source.missing:  # a row to predict may hold the same markers
            converted = note_text_form(converted, TextForm(missing=markers_of(source.missing)))
        return converted, _numbers_in_text(table, source)
    except pa.ArrowException as error:
        raise UserError(f"{source.source}: expected columns of one type in all parts: {error}") from None


def _numbers_in_text(table: pa.Table, source: Source) -> list[str]:
    """A note for each column of text with a type of its own whose first values are all numbers."""
    notes = []
    for field in table.schema:
        if pa.types.is_string(field.type) and field.name not in (*source.columns, *source.targets):
            first = pc.unique(table[field.name].slice(0, LOOKED_AT)).drop_null()
            if len(first) > MANY and is_number(convert(pa.table({"": first}))[0].field(0).type):
                notes.append(
                    f"{field.name}: text, though its values are numbers, such as {first[0].as_py()!r}; data.columns: "
                    f"{{{json.dumps(field.name)}: number}} learns them as numbers"
                )
    return notes


def _with_roles(table: pa.Table, source: Source) -> pa.Table:
    """A table with types, whose columns get the roles of the settings."""
    no_numbers: dict[str, np.ndarray] = {}
    for position, field in enumerate(table.schema):
        role = source.columns.get(field.name, "drop")
        if role == "number" and pa.types.is_string(field.type):
            numbers, found = convert(table.select([field.name]), decimal=source.decimal, as_numbers={field.name})
            table, no_numbers = table.set_column(position, field.name, numbers[0]), no_numbers | found.no_numbers
        elif role not in ("number", "drop") or field.name in _labels_of(source):
            table = table.set_column(position, field.name, table[field.name].cast(pa.string()))
        elif pa.types.is_string(field.type) and (dated := parse_dates(table[field.name].combine_chunks())) is not None:
            form, moments = dated
            table = table.set_column(position, note_date_format(pa.field(field.name, moments.type), form), moments)
    check_columns(table, source, no_numbers)
    return table


def _labels_of(source: Source) -> set[str]:
    """The column of text that holds several labels: 1,2 in it is no number, and 2020-01-01 no date."""
    return set(source.targets if source.separator is not None else ())


def _notes(dialects: list[Dialect], found: Conversion, table: pa.Table) -> list[str]:
    names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}
    notes = [
        f"delimiter {names.get(dialect.delimiter, repr(dialect.delimiter))}, encoding {dialect.encoding}, "
        f"decimal mark {found.decimal!r}"
        for dialect in dict.fromkeys(dialects)
    ]
    if found.missing:
        notes.append("missing: " + ", ".join(repr(marker) if marker else "empty" for marker in found.missing))
    notes += [f"{column}: dates as {form}" for column, form in found.date_formats.items()]
    notes += [f"{column}: numbers in {unit}" for column, unit in found.units.items()]
    notes += [
        f"{name}: {found.decimal!r} in {text!r} is read as decimal mark; where it divides thousands, set data.decimal"
        for name, text in found.in_doubt.items()
    ]
    notes += [
        f"{name}: text, because of what is beside its numbers, as in {text!r}; write -1 for (1), and no unit"
        for name, text in found.with_signs.items()
    ]
    mixed = {name: ("numbers", wrong) for name, wrong in found.no_numbers.items()}
    mixed |= {name: (f"dates as {form}", wrong) for name, (form, wrong) in found.no_dates.items()}
    for name, (kind, wrong) in mixed.items():
        most = "nearly all" if wrong.sum() <= (1 - MOSTLY) * (len(wrong) - table[name].null_count) else "all other"
        rows = describe_rows(table[name], wrong)
        notes.append(
            f"{name}: text, though {most} values are {kind}, because of {rows}; data.missing takes them as missing"
        )
    return notes
