"""One column as an SVG: its distribution in every part, and the target in each group of its values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from markupsafe import Markup, escape

from pipeline.data_report.columns import Column
from pipeline.data_report.groups import Groups, by_rank, by_width

WIDTH, BINS, ROWS, ROW_HEIGHT = 300, 20, 7, 17
LABEL, SCALE, PANEL = 92, 38, 64  # widths of a category's name, of a line's scale, and of the target beside the bars
FEWEST = 5  # fewest rows of a group whose mean is drawn
LINES = 6  # lines of the target, one colour each


@dataclass(frozen=True)
class Lines:
    """The lines of the target, for each train row: a number, or 1 for its class; shape (n_rows, n_lines)."""

    values: np.ndarray

    def of_groups(self, codes: np.ndarray, size: int) -> np.ndarray:
        """The mean of each line in each group, shape (size, n_lines); NaN for a group of few rows."""
        rows = np.bincount(codes, minlength=size)
        sums = np.stack([np.bincount(codes, weights=line, minlength=size) for line in self.values.T], axis=1)
        return np.where(rows[:, None] >= FEWEST, sums / np.maximum(rows, 1)[:, None], np.nan)


def draw(column: Column, lines: Lines | None = None) -> Markup:
    """The chart of one column; with `lines`, also the target of the train rows."""
    groups = by_width(column, BINS) if column.is_number else by_rank(column, ROWS)
    shares = {part: groups.shares(values) for part, values in column.parts.items()}
    means = None if lines is None else lines.of_groups(groups.codes(column.train), groups.size)
    return _histogram(column, groups, shares, means) if column.is_number else _rows(groups, shares, means)


def number_label(value: float, column: Column, digits: int = 4) -> str:
    """A number, or the date of a number of days, with its time if there are more than four digits."""
    if column.kind == "date":
        moment = datetime(1970, 1, 1) + timedelta(days=value)
        return moment.isoformat(" ", "seconds") if digits > 4 else moment.date().isoformat()
    return f"{value:,.{digits}g}" if abs(value) < 1e4 or not column.whole else f"{value:,.0f}"


def short(value: float) -> str:
    """A number in few characters: 211k. A year keeps all of its digits."""
    # From what would be rounded to 1000 of the smaller unit.
    for least, size, unit in ((9.995e8, 1e9, "G"), (9.995e5, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 1e3 else f"{value:.3g}"


def _histogram(column: Column, groups: Groups, shares: Mapping[str, np.ndarray], means: np.ndarray | None) -> Markup:
    height, below, gap = (84, 44, 8) if means is not None else (84, 0, 0)
    assert groups.edges is not None
    n = len(groups.edges)
    step = (WIDTH - SCALE) / n
    highest = max(float(of_part[1:].max()) for of_part in shares.values()) or 1.0
    parts = []
    for number, (part, of_part) in enumerate(shares.items()):
        tops = height - of_part[1:] / highest * (height - 2)
        if number == 0:
            parts += [
                f'<rect class="bar" x="{i * step + 0.5:.1f}" y="{top:.1f}" width="{step - 1:.1f}" '
                f'height="{height - top:.1f}"><title>{escape(_range(i, groups, column))}: {share:.1%}</title></rect>'
                for i, (top, share) in enumerate(zip(tops, of_part[1:], strict=True))
            ]
        else:
            path = " ".join(f"H{i * step:.1f} V{top:.1f} H{(i + 1) * step:.1f}" for i, top in enumerate(tops))
            parts.append(f'<path class="part {escape(part)}" d="M0,{height} {path} V{height}"/>')
    bottom = height + gap + below
    if means is not None:
        parts += _target_lines(means[1:], step, bottom, below)
    last = column.counts.index.max() if len(column.counts) else 0.0
    ends = number_label(float(groups.edges[0]), column), number_label(float(last), column)
    parts.append(f'<text x="0" y="{bottom + 14}">{escape(ends[0])}</text>')
    parts.append(f'<text x="{WIDTH - SCALE}" y="{bottom + 14}" text-anchor="end">{escape(ends[1])}</text>')
    return _svg(parts, bottom + 18)


def _target_lines(means: np.ndarray, step: float, bottom: float, height: float) -> list[str]:
    low, high = _limits(means)
    parts = []
    for line, values in enumerate(means.T[:LINES]):
        present = [(i, value) for i, value in enumerate(values) if value == value]
        places = [((i + 0.5) * step, bottom - (value - low) / (high - low) * height) for i, value in present]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line l{line}" points="{points}"/>')
        parts += [f'<circle class="dot l{line}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places]
    parts.append(f'<text class="scale" x="{WIDTH - SCALE + 4}" y="{bottom - height + 8}">{short(high)}</text>')
    parts.append(f'<text class="scale" x="{WIDTH - SCALE + 4}" y="{bottom}">{short(low)}</text>')
    return parts


def _range(i: int, groups: Groups, column: Column) -> str:
    assert groups.edges is not None
    edges = [number_label(float(edge), column) for edge in groups.edges[i : i + 2]]
    return f"from {edges[0]}" + (f" to {edges[1]}" if len(edges) > 1 else "")


def _rows(groups: Groups, shares: Mapping[str, np.ndarray], means: np.ndarray | None) -> Markup:
    others = {0: "not in train", 1: "1 other"}.get(groups.others, f"{groups.others:,} others")
    names = [*groups.values, others, "missing"]
    order = [*range(1, groups.size), 0]
    first = next(iter(shares.values()))
    shown = [(name, code) for name, code in zip(names, order, strict=True) if any(s[code] for s in shares.values())]
    highest = max(float(of_part.max()) for of_part in shares.values()) or 1.0
    room = WIDTH - LABEL - (PANEL + 48 if means is not None else 40)
    parts = []
    low, high = _limits(means) if means is not None else (0.0, 1.0)
    for row, (name, code) in enumerate(shown):
        y = row * ROW_HEIGHT
        label = name if len(name) <= 14 else name[:13] + "…"
        parts.append(f'<text x="0" y="{y + 12}">{escape(label)}<title>{escape(name)}</title></text>')
        parts.append(
            f'<rect class="bar" x="{LABEL}" y="{y + 2}" width="{first[code] / highest * room:.1f}" height="12"/>'
        )
        for part, of_part in list(shares.items())[1:]:
            x = LABEL + of_part[code] / highest * room
            parts.append(f'<path class="part {escape(part)}" d="M{x:.1f},{y + 1} V{y + 15}"/>')
        x = LABEL + max(of_part[code] for of_part in shares.values()) / highest * room
        parts.append(f'<text class="scale" x="{x + 4:.1f}" y="{y + 12}">{first[code]:.1%}</text>')
        for line, value in enumerate(means[code][:LINES] if means is not None else ()):
            if value == value:
                x = WIDTH - PANEL + 4 + (value - low) / (high - low) * (PANEL - 8)
                title = f"<title>{short(value)}</title>"
                parts.append(f'<circle class="dot l{line}" cx="{x:.1f}" cy="{y + 8}" r="3">{title}</circle>')
    bottom = len(shown) * ROW_HEIGHT
    if means is not None:
        parts.append(f'<path class="axis" d="M{WIDTH - PANEL},0 V{bottom} H{WIDTH}"/>')
        parts.append(f'<text class="scale" x="{WIDTH - PANEL}" y="{bottom + 12}">{short(low)}</text>')
        parts.append(f'<text class="scale" x="{WIDTH}" y="{bottom + 12}" text-anchor="end">{short(high)}</text>')
    return _svg(parts, bottom + 16)


def _limits(means: np.ndarray) -> tuple[float, float]:
    present = means[~np.isnan(means)]
    low, high = (float(present.min()), float(present.max())) if len(present) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _svg(parts: Sequence[str], height: float) -> Markup:
    return Markup(  # noqa: S704 - names are escaped above
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}">{"".join(parts)}</svg>'
    )
