"""The rows of one SQL query, from a database that an environment variable names. Nothing is ever written."""

import contextlib
import datetime
import decimal
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from contracts.errors import UserError

# Texts, quoted names and comments; their words are not part of the statement.
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL)
WRITES = re.compile(r"\b(insert|update|delete|merge|into|create|drop|alter|truncate)\b", re.IGNORECASE)
FETCHED = 10_000  # rows that are fetched at once
MOST_VALUES = 2**26  # values of a query, which may be endless; they are 4 GiB of Python objects
KEPT = (str, int, float, datetime.date, bytes, list, dict)  # types that stay; any other, such as a UUID, becomes text


def run_query(query: str, variable: str) -> pa.Table:
    """The rows of a query, in a transaction that is rolled back, and is read-only if the database supports it.

    Args:
        variable: the environment variable that holds the database's address, as SQLAlchemy writes it.

    Raises:
        UserError: if the query does not only read, or the database cannot answer it.
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
            result = connection.execution_options(no_parameters=True).exec_driver_sql(query)
            names, rows = list(result.keys()), list[Any]()
            while part := result.fetchmany(FETCHED):
                rows += part
                if len(rows) * len(names) > MOST_VALUES:
                    raise UserError(f"the query: expected at most {MOST_VALUES:,} values, received more")
    except sqlalchemy.exc.DBAPIError as error:
        reason = next(iter(str(error.orig).strip().splitlines()), "")
        raise UserError(f"{variable}: {shown} does not answer the query: {reason}") from None
    finally:
        engine.dispose()
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"the query: expected each name once, received more than once: {', '.join(repeated)}")
    if not rows:
        raise UserError("the query has no rows")
    return pa.table([_column(name, values) for name, values in zip(names, zip(*rows, strict=True), strict=True)], names)


def _check(query: str) -> None:
    bare = QUOTED.sub("''", query).strip().rstrip(";").strip()
    if ";" in bare or not re.match(r"(select|with)\b", bare, re.IGNORECASE):
        raise UserError(f"data.source: expected one SELECT or WITH statement, received {query.strip()[:60]!r}")
    if word := WRITES.search(bare):
        raise UserError(
            f"data.source: expected a query that only reads, received {word[0].upper()}; put the name of a column into "
            "quotation marks"
        )


def _column(name: str, values: tuple[Any, ...]) -> pa.Array:
    plain = [_plain(value) for value in values]
    try:
        return pa.array(plain)
    except pa.ArrowException:
        first = {type(value).__name__: row for row, value in reversed(list(enumerate(plain, 1))) if value is not None}
        kinds = " and ".join(f"{kind} (row {row})" for kind, row in sorted(first.items()))
        raise UserError(f"the query: column {name!r}: expected values of one type, received {kinds}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value if value is None or isinstance(value, KEPT) else str(value)
