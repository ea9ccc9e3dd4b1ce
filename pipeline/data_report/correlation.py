"""Rank correlations of numeric features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from pipeline.data_report.columns import Column

MOST = 40  # columns in the picture
COMPARED = 500  # columns whose pairs are computed: 5,000 columns have 12 million pairs, which take a gigabyte
CLOSE = 0.8  # pairs with a higher correlation are listed
CELL, LABEL = 14, 120


@dataclass(frozen=True)
class Correlations:
    """Spearman's rank correlation of numeric features on train rows: a picture, and the closest pairs."""

    picture: Markup
    pairs: tuple[tuple[str, str, float], ...]
    compared: int
    left_out: int


def correlate(columns: Sequence[Column], sample: np.ndarray) -> Correlations | None:
    """None where fewer than two features are numbers."""
    found = [column for column in columns if column.is_feature and column.is_number and len(column.counts) > 1]
    if len(found) < 2:
        return None
    numbers = found[:COMPARED]
    ranks = pd.DataFrame({i: column.train[sample] for i, column in enumerate(numbers)}).rank()
    matrix = ranks.corr().to_numpy()
    names = [column.name for column in numbers]
    above = [(names[i], names[j], float(matrix[i, j])) for i in range(len(names)) for j in range(i)]
    close = sorted((pair for pair in above if abs(pair[2]) >= CLOSE), key=lambda pair: -abs(pair[2]))
    return Correlations(_picture(names[:MOST], matrix), tuple(close[:20]), len(numbers), max(0, len(found) - MOST))


def _picture(names: Sequence[str], matrix: np.ndarray) -> Markup:
    parts = []
    for i, name in enumerate(names):
        short = name if len(name) <= 18 else name[:17] + "…"
        parts.append(f'<text x="{LABEL - 4}" y="{i * CELL + 11}" text-anchor="end">{escape(short)}</text>')
        for j in range(i):
            value = matrix[i, j]
            if value == value:
                kind = "rises" if value > 0 else "falls"
                title = f"{escape(name)}, {escape(names[j])}: {value:.2f}"
                place = f'x="{LABEL + j * CELL}" y="{i * CELL}" width="{CELL - 1}" height="{CELL - 1}"'
                shade = f'fill-opacity="{abs(value):.2f}"'
                parts.append(f'<rect class="{kind}" {place} {shade}><title>{title}</title></rect>')
    width, height = LABEL + len(names) * CELL, len(names) * CELL
    return Markup(f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">{"".join(parts)}</svg>')  # noqa: S704 - names are escaped above
