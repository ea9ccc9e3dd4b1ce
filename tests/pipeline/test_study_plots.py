"""The pictures of a study, where hyperparameters have conditions and scales, and where there is little to see."""

import matplotlib.pyplot as plt
import optuna
import pytest

from contracts.metrics import BY_NAME
from pipeline.search import study_plots

ACCURACY, LOSS = BY_NAME["accuracy"], BY_NAME["log_loss"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def trials(*asked: tuple[float, dict]) -> list[optuna.trial.FrozenTrial]:
    """Complete trials of these values and hyperparameters: the rate on a log scale, momentum under sgd alone."""
    study = optuna.create_study()
    for value, fixed in asked:
        study.enqueue_trial(fixed)
        trial = study.ask()
        trial.suggest_float("rate", 1e-4, 1e-2, log=True)
        trial.suggest_int("depth", 1, 3)
        trial.suggest_categorical("batch", (16, 32))
        if trial.suggest_categorical("optimizer", ("adam", "sgd")) == "sgd":
            trial.suggest_float("momentum", 0, 1)
        study.tell(trial, value)
    return study.trials


def one(optimizer: str = "adam", rate: float = 1e-3, depth: int = 1, **more) -> dict:
    return {"optimizer": optimizer, "rate": rate, "depth": depth, "batch": 16, **more}


TWO = trials((0.8, one(rate=1e-4)), (0.9, one("sgd", momentum=0.5)))


def lines(figure) -> dict[float, list[float]]:
    """The heights of each trial's line, by the height at its end."""
    drawn = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) > 2]
    return {round(float(heights[-1]), 3): [float(height) for height in heights] for heights in drawn}


def labels(figure) -> list[str]:
    return [label.get_text().replace("\n", "") for label in figure.axes[0].get_xticklabels()]


def test_a_line_passes_through_used_hyperparameters_and_below_unused_ones() -> None:
    figure = study_plots.parallel_coordinates(TWO, ACCURACY)
    assert labels(figure) == ["rate", "optimizer", "momentum", "validationaccuracy"]  # depth and batch are the same
    worse, better = [heights for _, heights in sorted(lines(figure).items())]
    assert worse[:3] == pytest.approx([0, 0, study_plots.UNUSED])
    assert better[:3] == pytest.approx([0.5, 1, 0.5]), "1e-3 is half-way from 1e-4 to 1e-2"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["not used"]


def test_no_axis_mentions_conditions_where_there_are_none() -> None:
    figure = study_plots.parallel_coordinates(trials((0.8, one(depth=1)), (0.9, one(depth=3))), ACCURACY)
    assert labels(figure) == ["depth", "validationaccuracy"]
    assert figure.axes[0].get_yticklabels() == []


@pytest.mark.parametrize(("metric", "best"), [(ACCURACY, "trial 1, accuracy 0.9"), (LOSS, "trial 0, log_loss 0.8")])
def test_the_best_is_named_whichever_way_the_metric_goes(metric, best: str) -> None:
    legend = study_plots.parallel_coordinates(TWO, metric).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [f"best: {best}"]
    assert best in study_plots.slices(TWO, metric).get_suptitle()


def test_a_slice_shows_the_trials_that_use_it() -> None:
    rate, optimizer, momentum = [axis for axis in study_plots.slices(TWO, ACCURACY).axes if axis.get_xlabel()]
    assert [label.get_text() for label in rate.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    assert [label.get_text() for label in optimizer.get_xticklabels()] == ["adam", "sgd"]
    assert momentum.get_xlabel() == "momentum, 1 of 2 trials"
    assert len(rate.collections[0].get_offsets()) == 2
    assert momentum.collections[0].get_offsets().tolist() == [[0.5, 0.9]]


def test_one_bad_trial_does_not_flatten_the_others() -> None:
    several = [(0.90 + depth / 100, one(depth=depth)) for depth in (1, 2, 3)]
    for values, beyond in ((several, ""), ([*several, (0.1, one())], "1 worse trial beyond the edge")):
        history = [(number, value, "complete") for number, (value, _) in enumerate(values)]
        for figure in (study_plots.slices(trials(*values), ACCURACY), study_plots.trial_history(history, ACCURACY)):
            low, high = figure.axes[0].get_ylim()
            assert 0.8 < low < 0.91
            assert 0.93 < high < 1
            assert figure.axes[0].get_title(loc="right") == beyond


@pytest.mark.parametrize("few", [[], TWO[:1]])
def test_too_few_trials_are_told(few: list) -> None:
    pictures = study_plots.slices(few, LOSS), study_plots.parallel_coordinates(few, LOSS)
    for figure in (*pictures, study_plots.importance({}, LOSS)):
        assert [text.get_text() for text in figure.axes[0].texts] == ["too few different trials"]
    assert study_plots.trial_history([], LOSS).axes[0].get_xlabel() == "trial"
