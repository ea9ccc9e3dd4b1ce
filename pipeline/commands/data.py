"""add-data: look at a file, say what it holds, and make it a dataset."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError
from contracts.settings.load import load_params
from contracts.settings.reading import DATASET_NAME

PARAMS = Path("params.yaml")
app = typer.Typer()


@app.command()
def add_data(
    name: Annotated[str, typer.Argument(help="of the dataset: a-z, 0-9 and _")],
    source: Annotated[str, typer.Argument(help="a file, a folder of files, or an address")],
    target: Annotated[str | None, typer.Argument(help="the column to predict; none: the columns are listed")] = None,
) -> None:
    """Write catalog/<name>.yaml for a file, after a look at what it holds."""
    path = Path(f"catalog/{name}.yaml")
    if not DATASET_NAME.fullmatch(name):
        raise UserError(f"NAME: expected 1 to 64 of a-z, 0-9 and _, received {name!r}")
    if path.exists():
        raise UserError(f"{path} exists already: choose another NAME, or edit that file")
    from contracts.settings.source import Source
    from pipeline.data.roles import role_of
    from pipeline.sources.files import columns_of_source, read_source
    from pipeline.tables import TARGET, infer_task

    if target is None:
        columns = columns_of_source(Source(source=source, target="?"))
        raise UserError(
            f"TARGET: expected the column to predict, one of {', '.join(columns)}; "
            f"often it is the last: make add-data NAME={name} SOURCE={source} TARGET='{columns[-1]}'"
        )
    table, notes = read_source(Source(source=source, target=target))
    frame = table.drop_columns([TARGET]).to_pandas()
    shown = Table(title=f"{name}: {infer_task(table)} of {target}, {table.num_rows:,} rows", title_justify="left",
                  box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fmt: skip
    for column in ("column", "use", "missing", "different", "for example", "why"):
        shown.add_column(column)
    for column in frame:
        values, dropped = frame[column], role_of(frame[column])
        kind = (
            "date"
            if str(values.dtype).startswith("datetime")
            else "number"
            if values.dtype.kind in "iuf"
            else "category"
        )
        example = str(values.dropna().iloc[0])[:30] if values.notna().any() else ""
        shown.add_row(str(column), f"left out: {dropped.role}" if dropped else kind, f"{values.isna().mean():.0%}",
                      f"{values.nunique():,}", example, dropped.reason if dropped else "")  # fmt: skip
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(shown)
    console.print(f"{source}: {'; '.join(notes)}")
    path.write_text(_entry(source, target), encoding="utf-8")
    try:
        load_params(PARAMS, name)
    except UserError:
        path.unlink()
        raise
    console.print(f"Wrote {path}; its section data.columns overrules the table above, column by column.")
    console.print(f"Next: [bold]make repro DATASETS={name}[/]")


def _entry(source: str, target: str) -> str:
    quoted = [
        text if re.fullmatch(r"[\w./][\w./ -]*", text) else "'" + text.replace("'", "''") + "'"
        for text in (source, target)
    ]
    return (
        "# yaml-language-server: $schema=../docs/reference/catalog.schema.json\n"
        f"data:\n  source: {quoted[0]}\n  target: {quoted[1]}\n"
    )
