"""The plots of a study, for `dvc plots show` and for its run in MLflow.

Optuna's own plots leave out trials that lack a conditional hyperparameter, and their labels overlap with many axes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from contracts.metrics import Metric

BEST = "tab:orange"
UNUSED = -0.12  # height at which a trial's line crosses the axis of a hyperparameter that it does not use
COLUMNS = 4


@dataclass(frozen=True)
class Scale:
    """Where each value of a hyperparameter lies between 0 and 1, and the ticks of its axis."""

    name: str
    places: Mapping[Any, float]
    ticks: list[tuple[float, str]]

    def place(self, trial: FrozenTrial) -> float:
        return self.places[trial.params[self.name]] if self.name in trial.params else UNUSED


def trial_history(values: list[tuple[int, float, str]], metric: Metric) -> Figure:
    """Every trial's value, and the best so far.

    Args:
        values: trial number, value and state, for trials that have a value.
    """
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    complete = [(number, value) for number, value, state in values if state == "complete"]
    limits = _limits([value for _, value in complete], metric)
    for state, marker in (("complete", "o"), ("pruned", "x")):
        points = [(number, value) for number, value, is_state in values if is_state == state]
        if points:
            axis.scatter(*zip(*points, strict=True), marker=marker, label=state)
    if complete:
        numbers, reached = zip(*complete, strict=True)
        best = np.maximum.accumulate(reached) if metric.higher_is_better else np.minimum.accumulate(reached)
        axis.step(numbers, best, where="post", color="grey", label="best so far")
        axis.set_ylim(*limits)
        _note_values_beyond(axis, [value for _, value, _ in values], limits)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="trial", ylabel=f"validation {metric.name}")
    if values:
        axis.legend()
    axis.grid(alpha=0.3)
    return figure


def importance(shares: Mapping[str, float], metric: Metric) -> Figure:
    """The share of the variance between trials that each unconditional hyperparameter explains."""
    figure, axis = plt.subplots(figsize=(7, 0.5 * max(len(shares), 1) + 1.2), layout="constrained")
    names = list(shares)[::-1]
    bars = axis.barh(names, [shares[name] for name in names])
    axis.bar_label(bars, fmt="{:.2f}", padding=3)
    axis.set(xlabel=f"importance for validation {metric.name}, unconditional hyperparameters only", xlim=(0, 1))
    if not shares:
        _note_too_few_trials(axis)
    return figure


def parallel_coordinates(trials: list[FrozenTrial], metric: Metric) -> Figure:
    """One line per complete trial through its hyperparameters to its value; better trials are darker.

    A line passes below the axis of a hyperparameter that its trial does not use.
    """
    scales = [_scale(name, trials) for name in _varied(trials)]
    figure, axis = plt.subplots(figsize=(max(7.0, 1.15 * len(scales) + 2), 4.4), layout="constrained")
    if not scales:
        _note_too_few_trials(axis)
        return figure
    low, high = limits = _limits([trial.values[0] for trial in trials], metric)
    trials = sorted(trials, key=lambda trial: trial.values[0], reverse=not metric.higher_is_better)
    shades = plt.get_cmap("Blues")(np.linspace(0.2, 0.95, len(trials)))
    for shade, trial in zip(shades, trials, strict=True):
        heights = [scale.place(trial) for scale in scales] + [(trial.values[0] - low) / (high - low)]
        is_best = trial is trials[-1]
        label = f"best: trial {trial.number}, {metric.name} {trial.values[0]:.4g}" if is_best else None
        colour, width = (BEST, 2.5) if is_best else (shade, 1.2)
        axis.plot(range(len(heights)), np.clip(heights, UNUSED, 1), color=colour, linewidth=width, label=label)
    shown = [(low + share * (high - low)) for share in (0, 0.25, 0.5, 0.75, 1)]
    value = Scale(f"validation\n{metric.name}", {}, [((at - low) / (high - low), f"{at:.4g}") for at in shown])
    for x, scale in enumerate([*scales, value]):
        axis.axvline(x, color="black", linewidth=0.8)
        for height, text in scale.ticks:
            axis.annotate(
                text, (x, height), (4, 0), textcoords="offset points", va="center", fontsize=8,
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )  # fmt: skip
    names = [scale.name.replace("_", "_\n", 1) if len(scale.name) > 11 else scale.name for scale in scales]
    names.append(value.name)
    axis.set_xticks(range(len(names)), names)
    some_not_asked = any(scale.name not in trial.params for scale in scales for trial in trials)
    axis.set_yticks(*(([UNUSED], ["not used"]) if some_not_asked else ([], [])))
    axis.set_ylim((UNUSED if some_not_asked else 0) - 0.05, 1.05)
    axis.set_xlim(-0.1, len(names) - 0.4)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    _note_values_beyond(axis, [trial.values[0] for trial in trials], limits)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def slices(trials: list[FrozenTrial], metric: Metric) -> Figure:
    """Every complete trial's value over each hyperparameter; later trials are darker."""
    names = _varied(trials)
    rows, columns = max(1, -(-len(names) // COLUMNS)), min(COLUMNS, max(2, len(names)))
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.7 * rows), sharey=True, squeeze=False, layout="constrained"
    )
    for axis in grid.flat[len(names) :]:
        axis.set_axis_off()
    if not names:
        _note_too_few_trials(grid[0][0])
        return figure
    limits = _limits([trial.values[0] for trial in trials], metric)
    best = (max if metric.higher_is_better else min)(trials, key=lambda trial: trial.values[0])
    for axis, name in zip(grid.flat, names, strict=False):
        users, scale = [trial for trial in trials if name in trial.params], _scale(name, trials)
        axis.scatter(
            [scale.place(trial) for trial in users], [trial.values[0] for trial in users], s=26,
            c=[trial.number for trial in users], vmin=-0.4 * trials[-1].number, vmax=trials[-1].number, cmap="Blues",
        )  # fmt: skip
        if best in users:
            axis.scatter([scale.place(best)], [best.values[0]], marker="*", s=150, color=BEST)
        some = f", {len(users)} of {len(trials)} trials" if len(users) < len(trials) else ""
        axis.set_xticks([place for place, _ in scale.ticks], [text for _, text in scale.ticks])
        axis.set(xlabel=f"{name}{some}", xlim=(-0.08, 1.08), ylim=limits)
        axis.grid(alpha=0.3)
    for row in grid:
        row[0].set_ylabel(f"validation {metric.name}")
    _note_values_beyond(grid[0][0], [trial.values[0] for trial in trials], limits)
    figure.suptitle(f"star: the best, trial {best.number}, {metric.name} {best.values[0]:.4g}; darker: later", size=10)
    return figure


def front(
    trials: list[FrozenTrial], best: list[FrozenTrial], chosen: FrozenTrial, metric: Metric, second: str
) -> Figure:
    """Every complete trial in both objectives, the Pareto front as a line, and the trial that is chosen."""
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axis.scatter([t.values[1] for t in trials], [t.values[0] for t in trials], color="lightgrey", label="trials")
    joined = sorted(best, key=lambda trial: trial.values[1])
    axis.plot([t.values[1] for t in joined], [t.values[0] for t in joined], "o-", label="Pareto front")
    label = f"chosen: trial {chosen.number}"
    axis.scatter(chosen.values[1], chosen.values[0], marker="*", s=150, color=BEST, zorder=3, label=label)
    axis.set(xscale="log", xlabel=f"{second}{' in seconds' if second == 'latency' else ''}")
    axis.set(ylabel=f"validation {metric.name}", ylim=_limits([trial.values[0] for trial in trials], metric))
    axis.legend()
    axis.grid(alpha=0.3)
    return figure


def _limits(values: list[float], metric: Metric) -> tuple[float, float]:
    """The range of values to show. One very bad configuration would flatten all others, so the worst value shown is at
    most three times as far from the median as the best.
    """
    if not values:
        return 0.0, 1.0
    median = float(np.median(values))
    best, worst = (max(values), min(values)) if metric.higher_is_better else (min(values), max(values))
    furthest = median - 3 * (best - median)
    ends = best, max(worst, furthest) if metric.higher_is_better else min(worst, furthest)
    margin = 0.1 * (max(ends) - min(ends)) or 0.1 * abs(best) or 0.1
    return min(ends) - margin, max(ends) + margin


def _note_values_beyond(axis: Axes, values: Iterable[float], limits: tuple[float, float]) -> None:
    beyond = sum(not limits[0] <= value <= limits[1] for value in values)
    if beyond:
        said = f"{beyond} worse trial{'s' if beyond > 1 else ''} beyond the edge"
        axis.set_title(said, loc="right", size=8, color="grey")


def _note_too_few_trials(axis: Axes) -> None:
    axis.text(0.5, 0.5, "too few different trials", ha="center", va="center", transform=axis.transAxes)
    axis.set_yticks([])
    axis.set_xticks([])


def _varied(trials: list[FrozenTrial]) -> list[str]:
    """The hyperparameters in which some two trials differ, in the order of their first use."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [name for name in names if len({repr(trial.params.get(name, UNUSED)) for trial in trials}) > 1]


def _scale(name: str, trials: list[FrozenTrial]) -> Scale:
    users = [trial for trial in trials if name in trial.params]
    distribution: Any = users[0].distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        last = max(1, len(distribution.choices) - 1)
        places = {choice: place / last for place, choice in enumerate(distribution.choices)}
        return Scale(name, places, [(place, str(choice)) for choice, place in places.items()])
    low, high = distribution.low, distribution.high
    if distribution.log:
        ticks: Any = LogLocator(10, (1, 2, 5) if high < 50 * low else (1,)).tick_values(low, high)
    elif distribution.step and high <= low + 6 * distribution.step:
        ticks = np.arange(low, high + distribution.step / 2, distribution.step)
    else:
        ticks = MaxNLocator(5, integer=isinstance(distribution, IntDistribution)).tick_values(low, high)

    def place(value: float) -> float:
        if low == high:
            return 0.5
        return float(np.log(value / low) / np.log(high / low) if distribution.log else (value - low) / (high - low))

    kept = [at for at in ticks if low <= at <= high]
    return Scale(name, {t.params[name]: place(t.params[name]) for t in users}, [(place(at), f"{at:g}") for at in kept])


def importances(study: optuna.Study) -> dict[str, float]:
    """Importances by fANOVA (Hutter et al., 2014); empty if the trials do not differ enough."""
    try:
        return optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
            target=lambda trial: trial.values[0],
        )
    except (ValueError, RuntimeError):
        return {}
