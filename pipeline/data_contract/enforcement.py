"""Check the data of a dataset against its contract, if it has one."""

from collections.abc import Callable

import pyarrow as pa

from contracts.errors import UserError, count
from contracts.settings.load import Params
from contracts.settings.source import Source
from pipeline.data_contract.breaks import Breaks
from pipeline.data_contract.contract import read_contract
from pipeline.paths import Paths, var
from pipeline.sources.own_table import read_columns
from pipeline.sources.readers import load_raw
from pipeline.sources.streaming.local_files import local_files
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


def raw_columns(params: Params, source: str | None = None) -> pa.Table:
    """The columns of a dataset under the names of its source, or those of a file that is read in the same way.

    Raises:
        UserError: if the data cannot be read, or is images.
    """
    own = params.source
    _refuse_images(params)
    if source is not None:
        settings = {**own.model_dump(), "source": source, "test_source": None, "database": None}
        own = Source.model_validate({**settings, "target": own.target or "target"})
    if not own.is_file:
        return own_names(load_raw(params.dataset, own, params.fetch, var() / "downloads"), own)
    with local_files(own, params.dataset, params.fetch) as files:
        return read_columns(files.source)


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
