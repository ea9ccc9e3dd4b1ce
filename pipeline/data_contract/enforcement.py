"""Check the data of a dataset against its contract, if it has one."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from contracts.errors import UserError, count
from contracts.settings.load import Params
from contracts.settings.source import Source
from pipeline.data_contract.breaks import Breaks
from pipeline.data_contract.contract import Contract, read_contract
from pipeline.paths import Paths, var
from pipeline.sources.own_table import read_columns
from pipeline.sources.readers import load_raw
from pipeline.sources.streaming.fetch import fetch_stream
from pipeline.sources.streaming.local_files import local_files
from pipeline.sources.streaming.size import choose_for
from pipeline.tables import IS_TEST, TARGET


def contract_check(params: Params, paths: Paths) -> Callable[[pa.Table], None]:
    """The function that raises a UserError with every break of a dataset's contract. Without a contract it does
    nothing.

    Raises:
        UserError: if the contract cannot be read, or the data is images.
    """
    if not paths.contract.exists():
        return lambda columns: None
    _refuse_images(params)
    breaks = Breaks(read_contract(paths.contract))

    def check(columns: pa.Table) -> None:
        breaks.add(columns)
        refuse(breaks, paths)

    return check


def refuse(breaks: Breaks, paths: Paths) -> None:
    """Raise a UserError with every break, if there is one."""
    if found := breaks.found():
        breaks_of = (
            f"{count(len(found), 'break')} of {paths.contract}, nothing was changed; correct the data, or that file:"
        )
        raise UserError("\n  ".join([breaks_of, *map(str, found)]))


def check_source(params: Params, contract: Contract, source: str | None = None) -> Breaks:
    """The breaks in the data of a dataset, or in a file that is read in the same way; a large one in batches.

    Raises:
        UserError: if the data cannot be read, or is images.
    """
    own, breaks = params.source, Breaks(contract)
    _refuse_images(params)
    if source is not None:
        settings = {**own.model_dump(), "source": source, "test_source": None, "database": None}
        own = Source.model_validate({**settings, "target": own.target or "target"})
    with local_files(own, params.dataset, params.fetch) as files:
        if choose_for(files.source, params.fetch.memory).streams:
            var().mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=var()) as folder:
                fetch_stream(files.source, Path(folder) / "rows.parquet", breaks.add)
        else:
            breaks.add(_read(files.source, params))
    return breaks


def raw_columns(params: Params) -> pa.Table:
    """The columns of a dataset under the names of its source.

    Raises:
        UserError: if the data cannot be read, or is images.
    """
    _refuse_images(params)
    with local_files(params.source, params.dataset, params.fetch) as files:
        return _read(files.source, params)


def _read(source: Source, params: Params) -> pa.Table:
    if source.is_file:
        return read_columns(source)
    return own_names(load_raw(params.dataset, source, params.fetch, var() / "downloads"), source)


def own_names(table: pa.Table, source: Source) -> pa.Table:
    """The columns of a named reader, with the target under its name in the source."""
    table = table.drop_columns([name for name in (IS_TEST,) if name in table.column_names])
    if pa.types.is_struct(table[TARGET].type):
        table = table.flatten()
        return table.rename_columns([name.removeprefix(f"{TARGET}.") for name in table.column_names])
    target = source.target if isinstance(source.target, str) else "target"
    return table.rename_columns([target if name == TARGET else name for name in table.column_names])


def _refuse_images(params: Params) -> None:
    if params.source.image is not None:
        raise UserError(f"{params.dataset}: expected a table for a contract, received images")
