"""The JSON files that a stage leaves for later ones."""

import json
from pathlib import Path
from typing import Any

from contracts.errors import UserError


def read_object(path: Path, *keys: str) -> dict[str, Any]:
    """The JSON object that an earlier stage has left in a file.

    Raises:
        UserError: the file is missing or damaged, or lacks one of the keys.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run `make repro` for its dataset first") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not set(keys) <= set(found):
        expected = f"a JSON object with {', '.join(keys)}" if keys else "a JSON object"
        raise UserError(f"{path} is damaged: expected {expected}; `make repro` for its dataset writes it anew")
    return found
