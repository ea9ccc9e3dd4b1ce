"""contract and check-data: write the rules for later data, and check data against them."""

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import UserError, count
from contracts.settings.load import load_params
from pipeline.paths import Paths

PARAMS = Path("params.yaml")
app = typer.Typer()


@app.command()
def contract(dataset: str) -> None:
    """Write catalog/contracts/<dataset>.yaml: rules that the present data keeps."""
    params, path = load_params(PARAMS, dataset), Paths(dataset).contract
    from pipeline.data_contract.contract import infer_contract, write_contract
    from pipeline.data_contract.enforcement import raw_columns

    table = raw_columns(params)
    write_contract(path, dataset, infer_contract(table), table.num_rows)
    print(f"Wrote {path}: {len(table.column_names)} columns. Read it, and edit the rules for later data.")


@app.command()
def check_data(
    dataset: str,
    data: Annotated[
        str | None, typer.Argument(help="a file, folder or address; by default the dataset's source")
    ] = None,
) -> None:
    """Check data against the contract of a dataset; the exit code is 1 if the data breaks it."""
    params, path = load_params(PARAMS, dataset), Paths(dataset).contract
    if params.source.image is not None:
        raise UserError(f"{dataset} has no contract: images have none")
    if not path.exists():
        raise UserError(f"{dataset} has no contract {path}: make contract DATASET={dataset} writes one")
    from pipeline.data_contract.contract import read_contract
    from pipeline.data_contract.enforcement import check_source

    checked = check_source(params, read_contract(path), data)
    breaks, rows = checked.found(), count(checked.rows, "row")
    name = data or params.source.source
    for line in breaks:
        print(f"  {line}")
    if breaks:
        print(f"{name}: {count(len(breaks), 'break')} of {path} in {rows}")
        raise typer.Exit(1)
    print(f"{name}: {rows}, no break of {path}")
