"""The team's text about a model: what it is for, and its limits."""

from contracts.files import md5
from pipeline.paths import Paths


def card_mark(paths: Paths) -> str:
    """What a report that holds the present text has in its head; `none` stands for no text."""
    return f'<meta name="card" content="{md5(paths.card) if paths.card.exists() else "none"}">'
