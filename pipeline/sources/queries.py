"""The rows of one SQL query, from a database that an environment variable names. Nothing is ever written."""

import contextlib
import datetime
import decimal
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pyarrow as pa

from contracts.errors import UserError
from pipeline.sources.conversion.types import common_type

# Texts, quoted names and comments; their words are not part of the statement.
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL)
WRITES = re.compile(r"\b(insert|update|delete|merge|into|create|drop|alter|truncate)\b", re.IGNORECASE)
FETCHED = 10_000  # rows that are fetched at once
KEPT = (str, int, float, datetime.date, bytes, list, dict)  # types that stay; any other, such as a UUID, becomes text


def query_batches(query: str, variable: str) -> Generator[pa.Table]:
    """The rows of a query in batches, in a transaction that is rolled back, and is read-only if the database supports
    it. A batch has the types that hold the values of all batches so far.

    Args:
        variable: the environment variable that holds the database's address, as SQLAlchemy writes it.

    Raises:
        UserError: if the query does not only read, or has no rows; if the database cannot answer it; if a column has
            values of several types.
    """
    _check(query)
    address = os.environ.get(variable)
    if not address:
        raise UserError(
            f"data.database: expected the address of a database in the environment variable {variable}, received none: "
            f"export {variable}=postgresql+psycopg://user:password@host/name"
        )
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(address)
        engine = sqlalchemy.create_engine(url)
    except ImportError as error:
        raise UserError(f"{variable}: the driver {error.name or error} is missing: uv pip install it") from None
    except sqlalchemy.exc.ArgumentError:
        raise UserError(f"{variable}: expected an address as postgresql+psycopg://user:password@host/name") from None
    shown = url.render_as_string(hide_password=True)
    if engine.dialect.name == "sqlite" and not Path(url.database or "").is_file():
        raise UserError(f"{variable}: there is no file {url.database}")  # SQLite would create it
    try:
        with contextlib.closing(engine.connect()) as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("pragma query_only = on")
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            connection = connection.execution_options(no_parameters=True, stream_results=True)
            result = connection.exec_driver_sql(query)
            names = list(result.keys())
            if not names:
                raise UserError("the query has no columns")
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                raise UserError(f"the query: expected each name once, received more than once: {', '.join(repeated)}")
            columns = [_Column(name) for name in names]
            while rows := result.fetchmany(FETCHED):
                parts = zip(columns, zip(*rows, strict=True), strict=True)
                batch = pa.table([column.add(values) for column, values in parts], names)
                try:
                    yield batch
                except GeneratorExit:
                    connection.invalidate()  # or the driver may read all other rows
                    raise
            if not columns[0].n_rows:
                raise UserError("the query has no rows")
    except sqlalchemy.exc.DBAPIError as error:
        reason = next(iter(str(error.orig).strip().splitlines()), "")
        raise UserError(f"{variable}: {shown} does not answer the query: {reason}") from None
    finally:
        engine.dispose()


def _check(query: str) -> None:
    bare = QUOTED.sub("''", query).strip().rstrip(";").strip()
    if ";" in bare or not re.match(r"(select|with)\b", bare, re.IGNORECASE):
        raise UserError(f"data.source: expected one SELECT or WITH statement, received {query.strip()[:60]!r}")
    if word := WRITES.search(bare):
        raise UserError(
            f"data.source: expected a query that only reads, received {word[0].upper()}; put the name of a column into "
            "quotation marks"
        )


class _Column:
    """A column of a query: its type so far, and the first row of each type of Python's values, counted from 1."""

    def __init__(self, name: str) -> None:
        self.name, self.n_rows = name, 0
        self.kind, self.first = pa.null(), dict[type, int]()

    def add(self, values: tuple[Any, ...]) -> pa.Array:
        """Further values, in the type of all values so far."""
        plain = [_plain(value) for value in values]
        for kind in set(map(type, plain)) - {type(None), *self.first}:
            self.first[kind] = self.n_rows + 1 + [type(value) for value in plain].index(kind)
        self.n_rows += len(plain)
        try:
            column = pa.array(plain)
            if pa.types.is_timestamp(self.kind) and pa.types.is_timestamp(column.type):
                column = column.cast(self.kind)  # with the time zone of the first value, as within a batch
            self.kind = common_type(self.kind, column.type)
            return column.cast(self.kind)
        except pa.ArrowException:
            received = sorted((kind.__name__, row) for kind, row in self.first.items())
            raise UserError(
                f"the query: column {self.name!r}: expected values of one type, received "
                + " and ".join(f"{kind} (row {row})" for kind, row in received)
            ) from None
        except OverflowError:
            raise UserError(
                f"the query: column {self.name!r}: expected whole numbers of at most 64 bits, received larger ones: "
                "select it as text, with cast"
            ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value if value is None or isinstance(value, KEPT) else str(value)
