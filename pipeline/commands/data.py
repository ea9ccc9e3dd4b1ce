"""add-data: look at a file, a query or a folder of pictures, say what it holds, and make it a dataset."""

import json
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError, printable
from contracts.settings.load import load_datasets, load_params
from contracts.settings.reading import DATASET_NAME
from contracts.settings.source import Source
from pipeline.paths import Paths

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pipeline.sources.files import Part
    from pipeline.sources.streaming.local_files import Local

PARAMS = Path("params.yaml")
FEW_ROWS, FOLDS = 2_000, 5  # with fewer rows, a choice by the validation rows alone is mostly chance
TRIALS, FEWEST_TRIALS = {200_000: 8, 400_000: 4}, 3  # by the number of values, and above: minutes to a first result
MOST_ROWS = 1_000_000  # of a query, or of JSON lines that do not fit into memory, that are looked at
app = typer.Typer()


@app.command()
def add_data(
    name: Annotated[str, typer.Argument(help="name of the dataset: a-z, 0-9 and _")],
    source: Annotated[str, typer.Argument(help="a file, a folder, an address, or a query")],
    target: Annotated[
        str | None, typer.Argument(help="the column to predict, or several as a,b; without it the columns are shown")
    ] = None,
    database: Annotated[str | None, typer.Option(help="for a query: the variable with the database's address")] = None,
    separator: Annotated[str | None, typer.Option(help="character between the labels of a target of labels")] = None,
) -> None:
    """Look at your own data, and write catalog/<name>.yaml for it."""
    path = Path(f"catalog/{name}.yaml")
    if not DATASET_NAME.fullmatch(name):
        raise UserError(f"NAME: expected 1 to 64 of a-z, 0-9 and _, received {name!r}")
    if path.exists():
        raise UserError(f"{path} exists already: choose another NAME, or edit that file")
    from pipeline.sources.files import absolute
    from pipeline.sources.image_folders import find_size, is_image_folder
    from pipeline.sources.streaming.local_files import local_files

    is_pictures = database is None and is_image_folder(Path(absolute(source)))
    image = find_size(Path(absolute(source))) if is_pictures else None
    asked = Source(source=source, target=None if image else "?", image=image, database=database)
    fetch = load_params(PARAMS, load_datasets(PARAMS, ())[0]).fetch
    with local_files(asked, name, fetch, MOST_ROWS, drops_nested=True) as local:
        _add(name, asked, local, fetch.memory, target, separator)


def _add(
    name: str,
    asked: Source,
    local: "Local",
    memory: Literal["auto"] | float,
    target: str | None,
    separator: str | None,
) -> None:
    """Show the columns; with a target, write the dataset's entry and its contract.

    Args:
        asked: what the user named.
        local: the files with its rows.
        memory: the setting `fetch.memory`.
    """
    path = Path(f"catalog/{name}.yaml")
    source, image, database = asked.source, asked.image, asked.database
    from pipeline.data.roles import role_of, split_hints
    from pipeline.data.target_checks import check_target
    from pipeline.data.target_proposals import (
        label_shares,
        labels_hint,
        likely_target,
        separator_of,
        several_targets,
    )
    from pipeline.data_contract.contract import infer_contract, write_contract
    from pipeline.sources.files import read_parts
    from pipeline.sources.own_table import read_columns, read_source
    from pipeline.tables import TARGET, infer_task

    console = Console(highlight=False, markup=False)  # names and values may look like markup
    if not console.is_terminal:
        console.width = 140
    unread = local.source
    for column in unread.columns:
        console.print(printable(f"{column} holds lists, structures or bytes, and is left out"))
    read = _how_to_read(unread, memory) if image is None else read_parts
    first = "" if read is read_parts and local.is_all else "the first "
    if target is None and image is None:
        frame = read_columns(unread, read).to_pandas()
        console.print(_columns(f"{source}: {first}{len(frame):,} rows", frame.drop(columns=list(unread.columns))))
        more = f" DATABASE={database}" if database else ""
        console.print("Nothing is written yet, because no column is named as the target. The most likely one is:")
        likely = likely_target(frame)
        more += f" TARGET={shlex.quote(likely)}"
        more += f" SEPARATOR={shlex.quote(sign)}" if (sign := separator_of(frame[likely])) else ""
        command = f"make add-data NAME={name} SOURCE={shlex.quote(source)}{more}"
        console.print(f"Next: {command}", style="bold")
        return
    if separator is not None and (image is not None or not separator):
        raise UserError(f"SEPARATOR: expected text between labels in a column, received {separator!r} for {source}")
    named: str | tuple[str, ...] | None = None if image else target
    if isinstance(named, str) and "," in named and named not in (names := read_columns(unread, read).column_names):
        named = several_targets(named, names, separator)
    wanted = Source(source=source, target=named, image=image, database=database, separator=separator)
    left_out = {column: role for column, role in unread.columns.items() if column not in wanted.targets}
    wanted = wanted.model_copy(update={"columns": left_out})
    seen: list[pa.Table] = []
    table, notes, _ = read_source(
        wanted.model_copy(update={"source": unread.source, "database": None}), seen.append, read
    )
    columns = seen[0] if seen else None  # images have no contract
    task = infer_task(table)
    labels = None if columns is None else labels_hint(columns, wanted)
    because = next((note for note in notes if note.startswith(f"{target}: ")), labels)
    try:
        check_target(table, wanted, task)
    except UserError as error:
        if not first:
            raise UserError(f"{error}; {because}") if because else error from None
        notes.append(f"in the first rows alone: {error}")
    title = f"{name}: {task} of {' and '.join(wanted.targets) or 'pictures'}, {first}{table.num_rows:,} rows"
    features = table.drop_columns([TARGET]).to_pandas() if image is None else None
    console.print(title if features is None else _columns(title, features.drop(columns=list(wanted.columns))))
    if task == "multilabel":
        console.print(printable(label_shares(table[TARGET])))
    if labels:
        console.print(printable(labels))
    console.print(printable(f"{source}: {'; '.join(notes) or 'a table with types'}"))
    for hint in split_hints(table, wanted):
        console.print(printable(hint))
    path.write_text(_entry(wanted, None if first else (table.num_rows, table.num_columns - 1)), encoding="utf-8")
    try:
        load_params(PARAMS, name)
    except UserError:
        path.unlink()
        raise
    console.print(f"Wrote {path}. A line under data.columns there changes the use of a column in the table above.")
    if first:
        console.print("fetch reads all rows, in batches. The first rows are too few for a contract.")
    elif columns is not None and not (contract := Paths(name).contract).exists():
        try:
            write_contract(contract, name, infer_contract(columns), columns.num_rows)
            console.print(f"Wrote {contract}, the rules for later data: edit it, or remove it.")
        except UserError as error:
            console.print(f"No contract is written: {error}")
    if features is not None and all(role_of(features[column]) for column in features):
        console.print(f"No column is left to learn from. Name one in {path} first, as columns: {{<name>: number}}.")
    console.print(f"Next: make repro DATASETS={name}", style="bold")


def _how_to_read(source: Source, memory: Literal["auto"] | float) -> "Callable[[Source], list[Part]]":
    """All rows, or the first ones of a table that `fetch` streams."""
    from pipeline.sources.files import read_parts
    from pipeline.sources.streaming.first_rows import first_parts
    from pipeline.sources.streaming.size import choose_for

    streams = choose_for(source, memory).streams
    return first_parts if streams else read_parts


def _columns(title: str, frame: "pd.DataFrame") -> Table:
    """A table of the columns, with the use of each, the reason, and an example."""
    from pipeline.data.roles import role_of

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("column", "use", "missing", "different", "for example", "why"):
        shown.add_column(heading)
    for name in frame:
        values, dropped = frame[name], role_of(frame[name])
        is_date = str(values.dtype).startswith("datetime")
        kind = "date" if is_date else "number" if values.dtype.kind in "iuf" else "category"
        example = printable(str(values.dropna().iloc[0])[:30]) if values.notna().any() else ""
        use = f"left out: {dropped.role}" if dropped else kind
        shown.add_row(printable(str(name)), use, f"{values.isna().mean():.0%}", f"{values.nunique():,}", example,
                      dropped.reason if dropped else "")  # fmt: skip
    return shown


def _entry(source: Source, shape: tuple[int, int] | None) -> str:
    """The text of the catalog's file: the given keys, and for a table the search for tables.

    Args:
        shape: rows, and columns without the target; None if not all rows were read.
    """
    lines = {"source": _quoted(source.source)}
    if source.database is not None:
        lines["database"] = f"{source.database}  # the environment variable with its address"
    if source.targets:
        names = [_quoted(name) for name in source.targets]
        lines["target"] = f"[{', '.join(names)}]" if len(names) > 1 else names[0]
    if source.separator is not None:
        lines["separator"] = _quoted(source.separator)
    if source.columns:
        lines["columns"] = f"{{{', '.join(f'{_quoted(name)}: drop' for name in source.columns)}}}"
    if source.image is not None:
        lines["image"] = f"{{height: {source.image.height}, width: {source.image.width}, maximum: 255}}"
    budgets = (trials for most, trials in TRIALS.items() if shape is not None and math.prod(shape) <= most)
    search = {"space": "auto", "n_trials": next(budgets, FEWEST_TRIALS)}
    search |= {"folds": FOLDS} if shape is not None and shape[0] < FEW_ROWS else {}
    if source.image is not None:
        search = {}
    return "# yaml-language-server: $schema=../docs/reference/catalog.schema.json\n" + "".join(
        f"{section}:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items())
        for section, keys in (("data", lines), ("search", search))
        if keys
    )


def _quoted(text: str) -> str:
    """Text as YAML writes it on one line."""
    reserved = re.fullmatch(r"true|false|null|yes|no|\.inf|\.nan", text, re.IGNORECASE)
    if re.fullmatch(r"([^\W\d]|[./])([\w./ -]*[\w./-])?", text) and not reserved and re.search(r"[^\d._]", text):
        return text
    return json.dumps(text) if not text.isprintable() else "'" + text.replace("'", "''") + "'"
