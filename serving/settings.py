"""Limits and API keys of the service, read from environment variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter


class SettingsError(Exception):
    """Environment variables with invalid values, or a damaged file of the Bento."""


class Packaged(NamedTuple):
    """What the package stage writes into the Bento: `expected` is the prediction for the schema's sample."""

    workers: int
    version: str
    expected: list[float]


class Settings(NamedTuple):
    """Limits of one worker process. Without `keys` the service answers everybody."""

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 10_000
    timeout: float = 30.0
    max_concurrency: int = 256
    drain_seconds: float = 30.0
    keys: tuple[bytes, ...] = ()


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The defaults, overridden by the environment.

    SERVING_MAX_BODY_BYTES   bytes of a request's body, also after decompression
    SERVING_MAX_ROWS         rows in one request
    SERVING_TIMEOUT          seconds for a request's head to arrive, again for its body, to answer it, and to be read
    SERVING_MAX_CONCURRENCY  requests in progress at once, and four times as many connections
    SERVING_DRAIN_SECONDS    seconds after SIGTERM for requests in progress
    SERVING_API_KEYS         keys, separated by commas
    SERVING_API_KEYS_FILE    a file with one key per line, added to the others

    Raises:
        SettingsError: lists every invalid variable.
    """
    errors: list[str] = []
    variables = {
        "max_body_bytes": ("SERVING_MAX_BODY_BYTES", int),
        "max_rows": ("SERVING_MAX_ROWS", int),
        "timeout": ("SERVING_TIMEOUT", float),
        "max_concurrency": ("SERVING_MAX_CONCURRENCY", int),
        "drain_seconds": ("SERVING_DRAIN_SECONDS", float),
    }
    values: dict[str, float] = {}
    for field, (name, number) in variables.items():
        if name not in environ:
            continue
        try:
            values[field] = number(environ[name])
        except ValueError:
            values[field] = -1
        if not 0 < values[field] < 2**53:
            errors.append(f"{name}: expected a positive number, received {environ[name]!r}")
    try:
        keys = _read_keys(environ)
    except ValueError as error:
        errors.append(str(error))
    if errors:
        raise SettingsError("\n".join(errors))
    return Settings(keys=keys, **values)  # type: ignore[arg-type]


def read_packaged(path: Path) -> Packaged:
    """The Bento's `settings.json`.

    Raises:
        SettingsError: the file cannot be read, or holds something else.
    """
    try:
        return TypeAdapter(Packaged).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from None


def _read_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """The keys of both variables. An empty variable counts as not set; any other one must have a key.

    Raises:
        ValueError: a variable has no key.
    """
    keys: list[str] = []
    if listed := environ.get("SERVING_API_KEYS"):
        keys += _not_blank("SERVING_API_KEYS: expected keys, separated by commas", listed.split(","))
    if path := environ.get("SERVING_API_KEYS_FILE"):
        expected = "SERVING_API_KEYS_FILE: expected a readable file with one key per line"
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"{expected}, received {error}") from None
        keys += _not_blank(f"{expected}, received {path}", lines)
    return tuple(key.encode() for key in keys)


def _not_blank(expected: str, keys: list[str]) -> list[str]:
    found = [key.strip() for key in keys if key.strip()]
    if not found:
        raise ValueError(f"{expected}; it has no key")
    return found
