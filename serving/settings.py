"""What whoever runs the service may set: limits and keys, by environment variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class SettingsWrong(Exception):
    """An environment variable that cannot be used as it is."""


class Settings(NamedTuple):
    """Limits of one worker process. `keys` is empty where everybody may ask."""

    body_bytes: int = 16 * 2**20
    rows: int = 10_000
    seconds: float = 30.0
    concurrency: int = 256
    keys: tuple[bytes, ...] = ()


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The defaults, changed by what the environment says.

    SERVING_MAX_BODY_BYTES   a request's body, after decompression
    SERVING_MAX_ROWS         rows in one request
    SERVING_TIMEOUT          seconds to receive a request's head, again for its body, and again to answer it
    SERVING_MAX_CONCURRENCY  requests in work at the same time
    SERVING_API_KEYS         keys, separated by commas
    SERVING_API_KEYS_FILE    a file with a key a line; added to the others

    Raises:
        SettingsWrong: with every variable that is wrong.
    """
    wrong: list[str] = []
    numbers = {
        "body_bytes": ("SERVING_MAX_BODY_BYTES", int),
        "rows": ("SERVING_MAX_ROWS", int),
        "seconds": ("SERVING_TIMEOUT", float),
        "concurrency": ("SERVING_MAX_CONCURRENCY", int),
    }
    found: dict[str, float] = {}
    for field, (name, number) in numbers.items():
        if name not in environ:
            continue
        try:
            found[field] = number(environ[name])
        except ValueError:
            found[field] = -1
        if not 0 < found[field] < 2**53:
            wrong.append(f"{name}: expected a positive number, received {environ[name]!r}")
    try:
        keys = _keys(environ)
    except (OSError, ValueError) as error:
        wrong.append(f"SERVING_API_KEYS_FILE: expected a readable file with a key a line, received {error}")
    if wrong:
        raise SettingsWrong("\n".join(wrong))
    return Settings(keys=keys, **found)  # type: ignore[arg-type]


def _keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    keys = environ.get("SERVING_API_KEYS", "").split(",")
    if path := environ.get("SERVING_API_KEYS_FILE"):
        of_file = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        if not any(of_file):  # a lost secret must not open the service to everybody
            raise ValueError(f"{path}, which holds no key")
        keys += of_file
    return tuple(key.strip().encode() for key in keys if key.strip())
