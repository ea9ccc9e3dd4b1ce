"""add-data: look at a file, a query or a folder of pictures, say what it holds, and make it a dataset."""

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError, printable
from contracts.settings.load import load_params
from contracts.settings.reading import DATASET_NAME
from contracts.settings.source import Source
from pipeline.paths import Paths

if TYPE_CHECKING:
    import pandas as pd

PARAMS = Path("params.yaml")
# What a target is often called, to propose one.
TARGET_NAME = re.compile(
    r"(^|[ _.])(target|label|class|outcome|response|churn|default|price|survived|y)$", re.IGNORECASE
)
FEW_ROWS, FOLDS = 2_000, 5  # with fewer rows, validation rows alone choose by chance
app = typer.Typer()


@app.command()
def add_data(
    name: Annotated[str, typer.Argument(help="of the dataset: a-z, 0-9 and _")],
    source: Annotated[str, typer.Argument(help="a file, a folder, an address, or a query")],
    target: Annotated[str | None, typer.Argument(help="the column to predict; none: the columns are shown")] = None,
    database: Annotated[str | None, typer.Option(help="for a query: the variable with the database's address")] = None,
) -> None:
    """Write catalog/<name>.yaml for data of yours, after a look at what it holds."""
    path = Path(f"catalog/{name}.yaml")
    if not DATASET_NAME.fullmatch(name):
        raise UserError(f"NAME: expected 1 to 64 of a-z, 0-9 and _, received {name!r}")
    if path.exists():
        raise UserError(f"{path} exists already: choose another NAME, or edit that file")
    from pipeline.data.roles import split_hints
    from pipeline.data.target_checks import check_target
    from pipeline.data_contract.contract import infer_contract, write_contract
    from pipeline.sources.files import absolute
    from pipeline.sources.image_folders import find_size, is_image_folder
    from pipeline.sources.own_table import read_columns, read_source
    from pipeline.tables import TARGET, infer_task

    console = Console(highlight=False, markup=False)  # names and values may look like markup
    if not console.is_terminal:
        console.width = 140
    image = find_size(Path(absolute(source))) if database is None and is_image_folder(Path(absolute(source))) else None
    if target is None and image is None:
        frame = read_columns(Source(source=source, target="?", database=database)).to_pandas()
        console.print(_columns(f"{source}: {len(frame):,} rows", frame))
        more = f" DATABASE={database}" if database else ""
        console.print("Which column is to be predicted? Nothing is written yet. It looks as if it were this one:")
        wanted_target = shlex.quote(_likely_target(frame))
        console.print(
            f"Next: make add-data NAME={name} SOURCE={shlex.quote(source)}{more} TARGET={wanted_target}", style="bold"
        )
        return
    wanted = Source(source=source, target=None if image else target, image=image, database=database)
    table, notes, _ = read_source(wanted)
    task = infer_task(table)
    check_target(table, wanted, task)
    title = f"{name}: {task} of {target or 'pictures'}, {table.num_rows:,} rows"
    console.print(_columns(title, table.drop_columns([TARGET]).to_pandas()) if image is None else title)
    console.print(printable(f"{source}: {'; '.join(notes) or 'a table with types'}"))
    for hint in split_hints(table, wanted):
        console.print(printable(hint))
    path.write_text(_entry(wanted, table.num_rows), encoding="utf-8")
    try:
        load_params(PARAMS, name)
    except UserError:
        path.unlink()
        raise
    console.print(f"Wrote {path}; its section data.columns overrules the table above, column by column.")
    if image is None and not (contract := Paths(name).contract).exists():
        columns = read_columns(wanted)
        try:
            write_contract(contract, name, infer_contract(columns), columns.num_rows)
            console.print(f"Wrote {contract}, what later data must be: edit it, or remove it for none.")
        except UserError as error:
            console.print(f"No contract is written: {error}")
    console.print(f"Next: make repro DATASETS={name}", style="bold")


def _columns(title: str, frame: "pd.DataFrame") -> Table:
    """What a column is used as, and why, with an example."""
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


def _likely_target(frame: "pd.DataFrame") -> str:
    """The last column with the name of a target, else the last that is no identifier."""
    from pipeline.data.roles import role_of

    usable = [str(name) for name in frame if role_of(frame[name]) is None] or [str(name) for name in frame]
    return next((name for name in reversed(usable) if TARGET_NAME.search(name)), usable[-1])


def _entry(source: Source, n_rows: int) -> str:
    """The file of the catalog: what was given, and for a table how networks for tables are searched."""
    lines = {"source": _quoted(source.source)}
    if source.database is not None:
        lines["database"] = f"{source.database}  # the environment variable with its address"
    if source.targets:
        lines["target"] = _quoted(source.targets[0])
    if source.image is not None:
        lines["image"] = f"{{height: {source.image.height}, width: {source.image.width}, maximum: 255}}"
    search = {} if source.image is not None else {"space": "auto", **({"folds": FOLDS} if n_rows < FEW_ROWS else {})}
    return "# yaml-language-server: $schema=../docs/reference/catalog.schema.json\n" + "".join(
        f"{section}:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items())
        for section, keys in (("data", lines), ("search", search))
        if keys
    )


def _quoted(text: str) -> str:
    """Text as YAML writes it on one line."""
    if re.fullmatch(r"[\w./][\w./ -]*", text) and not re.fullmatch(
        r"[\d.]+|true|false|null|yes|no", text, re.IGNORECASE
    ):
        return text
    return json.dumps(text) if not text.isprintable() else "'" + text.replace("'", "''") + "'"
