"""Limits and API keys of the service, read from environment variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class SettingsError(Exception):
    """Environment variables with invalid values."""


class Settings(NamedTuple):
    """Limits of one worker process. Without `keys` the service answers everybody."""

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 10_000
    timeout: float = 30.0
    max_concurrency: int = 256
    keys: tuple[bytes, ...] = ()


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The defaults, overridden by the environment.

    SERVING_MAX_BODY_BYTES   bytes of a request's body, also after decompression
    SERVING_MAX_ROWS         rows in one request
    SERVING_TIMEOUT          seconds to receive a request's head, again for its body, and again to answer it
    SERVING_MAX_CONCURRENCY  requests in progress at once
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
    except (OSError, ValueError) as error:
        errors.append(f"SERVING_API_KEYS_FILE: expected a readable file with one key per line, received {error}")
    if errors:
        raise SettingsError("\n".join(errors))
    return Settings(keys=keys, **values)  # type: ignore[arg-type]


def _read_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    keys = environ.get("SERVING_API_KEYS", "").split(",")
    if path := environ.get("SERVING_API_KEYS_FILE"):
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        if not any(lines):  # an empty secret must not open the service to everybody
            raise ValueError(f"{path}, which has no key")
        keys += lines
    return tuple(key.strip().encode() for key in keys if key.strip())
