"""The pictures of a model as SVG, in the colours of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from contracts.schema import ImageFeature
from pipeline.data_report.charts import LINES, short
from serving.explanation import tiles_of

WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 380, 230, 62, 34, 10, 10
MOST_POINTS = 1500  # points of a scatter plot
CELL, NAME = 34, 110
BAR_HEIGHT, BAR_NAME, BAR_VALUE = 19, 170, 60
LONGEST_NAME = 26


@dataclass(frozen=True)
class Axes:
    """A plane with a range of numbers on each side."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> str:
        """A point of the picture, as `x,y`."""
        across, up = (x - self.x[0]) / (self.x[1] - self.x[0]), (y - self.y[0]) / (self.y[1] - self.y[0])
        return f"{LEFT + across * (WIDTH - LEFT - RIGHT):.1f},{HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM):.1f}"

    def draw(self, parts: Sequence[str], x_label: str, y_label: str, scale_of_x: bool = True) -> Markup:
        """The picture, with three numbers on each axis."""
        frame = [f'<path class="axis" d="M{self.at(self.x[0], self.y[1])} L{self.at(self.x[0], self.y[0])} '
                 f'L{self.at(self.x[1], self.y[0])}"/>']  # fmt: skip
        for share in (0, 0.5, 1):
            x, y = (low + share * (high - low) for low, high in (self.x, self.y))
            across, down = self.at(x, self.y[0]).split(",")
            anchor = "end" if share == 1 else "middle" if share else "start"
            if scale_of_x:
                frame.append(_scale(short(x), float(across), float(down) + 12, anchor))
            frame.append(_scale(short(y), LEFT - 5, float(self.at(self.x[0], y).split(",")[1]) + 4, "end"))
        frame.append(_scale(x_label, (LEFT + WIDTH) / 2, HEIGHT - 4))
        turned = f'transform="translate(10 {HEIGHT / 2 - 10}) rotate(-90)"'
        frame.append(f'<text class="scale" {turned} text-anchor="middle">{escape(y_label)}</text>')
        return svg([*frame, *parts], WIDTH, HEIGHT)


def svg(parts: Sequence[str], width: float, height: float) -> Markup:
    """Parts, whose texts are escaped, as one picture."""
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return Markup(f"<svg {size}>{''.join(parts)}</svg>")  # noqa: S704 - see above


def learning_curves(history: Mapping[str, Sequence[float]], metric: str, best_epoch: int) -> list[Markup]:
    """Loss and metric per epoch, of train and of validation, or one of them where they are equal; the best epoch is
    marked.
    """
    pictures = []
    is_loss = history["loss"] == history.get(metric)
    for name in (metric,) if is_loss else dict.fromkeys(("loss", metric)):
        # Values of train are means over an epoch, those of validation are measured at its end.
        shifts = {name: 0.5, f"val_{name}": 0.0}
        lines = {key: np.asarray(history[key], dtype=float) for key in shifts if key in history}
        present = np.concatenate([line[np.isfinite(line)] for line in lines.values()])
        axes = Axes((0, max(len(line) for line in lines.values())), _wide(present))
        parts = [
            _line(axes, np.arange(1, len(lines[key]) + 1) - shift, lines[key], f"line l{i}")
            for i, (key, shift) in enumerate(shifts.items())
            if key in lines
        ]
        best = f"M{axes.at(best_epoch + 1, axes.y[0])} L{axes.at(best_epoch + 1, axes.y[1])}"
        pictures.append(axes.draw([f'<path class="mark" d="{best}"/>', *parts], "epoch", name))
    return pictures


def confusion(names: Sequence[str], counts: np.ndarray) -> Markup:
    """Rows by actual (down) and predicted class (across); a colour is a share of the actual class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = []
    wide = CELL if len(names) > 8 else 2 * CELL
    for i, name in enumerate(names):
        parts.append(f'<text x="{NAME - 6}" y="{i * CELL + 21}" text-anchor="end">{_cut(name, 15)}</text>')
        place = f'x="{NAME + (i + 0.5) * wide}" y="{len(names) * CELL + 14}"'
        parts.append(f'<text class="scale" {place} text-anchor="middle">{_cut(name, wide // 6)}</text>')
        for j, other in enumerate(names):
            kind = "rises" if i == j else "falls"
            title = f"<title>{escape(name)}, predicted as {escape(other)}: {counts[i, j]:,}, {shares[i, j]:.1%}</title>"
            place = f'x="{NAME + j * wide}" y="{i * CELL}" width="{wide - 1}" height="{CELL - 1}"'
            parts.append(f'<rect class="{kind}" {place} fill-opacity="{0.03 + 0.75 * shares[i, j]:.2f}">{title}</rect>')
            if counts[i, j]:
                place = f'x="{NAME + (j + 0.5) * wide}" y="{i * CELL + 21}"'
                parts.append(f'<text {place} text-anchor="middle">{short(float(counts[i, j]))}</text>')
    return svg(parts, NAME + len(names) * wide, len(names) * CELL + 20)


def scatter(actual: np.ndarray, predicted: np.ndarray, seed: int) -> Markup:
    """Predicted against actual values; where they are equal, they lie on the line."""
    rows = np.arange(len(actual))
    if len(rows) > MOST_POINTS:
        rows = np.random.default_rng(seed).choice(rows, MOST_POINTS, replace=False)
    ends = _wide(np.concatenate([actual, predicted]))
    axes = Axes(ends, ends)
    parts = [f'<path class="mark" d="M{axes.at(ends[0], ends[0])} L{axes.at(ends[1], ends[1])}"/>']
    for row in rows:
        x, y = axes.at(float(actual[row]), float(predicted[row])).split(",")
        parts.append(f'<circle class="dot l0" cx="{x}" cy="{y}" r="2" fill-opacity="0.5"/>')
    return axes.draw(parts, "actual", "predicted")


def histogram(values: np.ndarray, label: str) -> Markup:
    """The number of rows by value; 0 is marked."""
    low, high = np.quantile(values, (0.005, 0.995))
    counts, edges = np.histogram(np.clip(values, low, high), bins=24)
    axes = Axes((float(edges[0]), float(edges[-1])), (0.0, float(counts.max())))
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        corners = [axes.at(float(x), float(y)) for x, y in ((left, 0), (left, count), (right, count), (right, 0))]
        parts.append(f'<path class="bar" d="M{" L".join(corners)} Z"/>')
    if low <= 0 <= high:
        parts.append(f'<path class="mark" d="M{axes.at(0, 0)} L{axes.at(0, axes.y[1])}"/>')
    return axes.draw(parts, label, "rows")


def reliability(predicted: np.ndarray, actual: np.ndarray, spread: np.ndarray) -> Markup:
    """The observed share against the mean probability, in groups of equal size, with 95 % intervals."""
    axes = Axes((0, 1), (0, 1))
    parts = [f'<path class="mark" d="M{axes.at(0, 0)} L{axes.at(1, 1)}"/>']
    for x, y, half in zip(predicted.tolist(), actual.tolist(), spread.tolist(), strict=True):
        across, down = axes.at(x, y).split(",")
        parts.append(f'<path class="line l0" d="M{axes.at(x, max(0, y - half))} L{axes.at(x, min(1, y + half))}"/>')
        parts.append(
            f'<circle class="dot l0" cx="{across}" cy="{down}" r="3.5"><title>{x:.1%}: {y:.1%}</title></circle>'
        )
    return axes.draw(parts, "probability that was predicted", "share that came true")


def bars(names: Sequence[str], values: np.ndarray, low: np.ndarray, high: np.ndarray) -> Markup:
    """A bar for each name, with its interval."""
    highest = max(float(np.nanmax(high)), 1e-12)
    lowest = min(0.0, float(np.nanmin(low)))
    room = 2 * WIDTH - BAR_NAME - BAR_VALUE

    def at(value: float) -> float:
        return BAR_NAME + (value - lowest) / (highest - lowest) * room

    parts = []
    for row, name in enumerate(names):
        y = row * BAR_HEIGHT
        left, right = sorted((at(0.0), at(float(values[row]))))
        parts.append(f'<text x="0" y="{y + 13}">{_cut(name, LONGEST_NAME)}<title>{escape(name)}</title></text>')
        parts.append(f'<rect class="bar" x="{left:.1f}" y="{y + 3}" width="{right - left:.1f}" height="12"/>')
        parts.append(f'<path class="line l0" d="M{at(float(low[row])):.1f},{y + 9} H{at(float(high[row])):.1f}"/>')
        parts.append(
            f'<text class="scale" x="{2 * WIDTH - BAR_VALUE + 6}" y="{y + 13}">{short(float(values[row]))}</text>'
        )
    return svg(parts, 2 * WIDTH, len(names) * BAR_HEIGHT)


def tiles(image: ImageFeature, values: Sequence[float]) -> Markup:
    """The tiles of an image; a colour is stronger the further the value is from 0."""
    places = tiles_of(image.height, image.width)
    most, pixel = max(*map(abs, values), 1e-12), HEIGHT / image.height
    parts = []
    for number, value in enumerate(values):
        down, across = np.nonzero(places == number)
        (y, bottom), (x, right) = ((pixel * ends[0], pixel * (ends[-1] + 1)) for ends in (down, across))
        place = f'x="{x:.1f}" y="{y:.1f}" width="{right - x - 1:.1f}" height="{bottom - y - 1:.1f}"'
        kind = f'class="{"rises" if value > 0 else "falls"}" fill-opacity="{0.03 + 0.97 * abs(value) / most:.2f}"'
        parts.append(f"<rect {kind} {place}><title>{short(value)}</title></rect>")
    return svg(parts, pixel * image.width, HEIGHT)


def curves(x: Sequence[float] | Sequence[str], y: np.ndarray, label: str, every_y: np.ndarray) -> Markup:
    """A line for each column of `y` (n_values, n_lines); over names instead of numbers, dots.

    Args:
        every_y: the values of all pictures that a person compares with this one.
    """
    numbers = np.array([float(value) for value in x] if not isinstance(x[0], str) else range(len(x)), dtype=float)
    room = (numbers[-1] - numbers[0]) * 0.04
    axes = Axes((float(numbers[0] - room), float(numbers[-1] + room)), _wide(every_y))
    parts = []
    for line, values in enumerate(y.T[:LINES]):
        if not isinstance(x[0], str):
            parts.append(_line(axes, numbers, values, f"line l{line}"))
        for at, value in zip(numbers, values, strict=True):
            across, down = axes.at(float(at), float(value)).split(",")
            parts.append(f'<circle class="dot l{line}" cx="{across}" cy="{down}" r="{2 if len(x) > 8 else 3}"/>')
    if not isinstance(x[0], str):
        return axes.draw(parts, label, "mean prediction")
    for at, name in zip(numbers, x, strict=True):
        place = float(axes.at(float(at), axes.y[0]).split(",")[0])
        parts.append(_scale(_short_name(str(name), max(4, 56 // len(x))), place, HEIGHT - BOTTOM + 12))
    return axes.draw(parts, label, "mean prediction", scale_of_x=False)


def _scale(text: str, x: float, y: float, anchor: str = "middle") -> str:
    return f'<text class="scale" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, kind: str) -> str:
    points = " ".join(axes.at(float(a), float(b)) for a, b in zip(x, y, strict=True) if np.isfinite(b))
    return f'<polyline class="{kind}" points="{points}"/>'


def _wide(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _cut(name: str, length: int) -> Markup:
    return escape(_short_name(name, length))


def _short_name(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
