"""What is tried next and what is ended early, by name: on a function in the place of networks."""

import warnings
from importlib.util import find_spec

import pytest

from contracts.errors import UserError
from contracts.settings.load import load_params
from models.search.duplicates import DUPLICATES
from models.search.pruners import make_pruner
from models.search.ranking import best_trials, pareto_front
from models.search.samplers import sampler_note
from models.search.space import count_configurations, default_configuration
from models.search.study import count_tried, finished_trials
from tests.models.instant import MIXED, PLAIN, SMALL, Instant, plan_of, search
from tests.settings_files import change_yaml, copy_settings, override

GP = pytest.param("gp", marks=pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch, an extra, is missing"))


@pytest.fixture
def load(tmp_path):
    """The plan of iris with some settings of the search changed."""

    def changed(space=SMALL, **search):
        path = copy_settings(tmp_path)
        change_yaml(path.with_name("spaces.yaml"), lambda spaces: spaces.update(ours=space))
        override(path, "iris", search={"space": "ours", **search})
        return plan_of(load_params(path, "iris"))

    return changed


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "qmc", GP])
def test_a_sampler_reaches_its_budget_and_goes_on_without_repeating_itself(tmp_path, load, sampler, capfd) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(tmp_path, load(MIXED, sampler=sampler, n_trials=6))
        study, _ = search(tmp_path, load(MIXED, sampler=sampler, n_trials=12))
    assert len(finished_trials(study)) == 12
    rates = [trial.params["learning_rate"] for trial in study.trials]
    assert len(set(rates)) == 12
    assert capfd.readouterr().err == "", "no storm of warnings"


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", GP])
def test_a_sampler_that_learns_comes_nearer_than_chance(tmp_path, load, sampler) -> None:
    values = {}
    for name in ("random", sampler):
        study, _ = search(tmp_path, load(PLAIN, sampler=name, n_trials=40), name="")
        values[name] = sorted(trial.value for trial in study.trials)[10]
    assert values[sampler] < values["random"]


def test_what_a_sampler_learns_nothing_about_is_said(load) -> None:
    note = sampler_note(load(MIXED, sampler="cmaes"))
    assert note == "cmaes learns nothing about optimizer, momentum, width_1, width_2, width_3: drawn at random"
    assert "optimizer" not in str(sampler_note(load(MIXED, sampler="qmc")))
    assert sampler_note(load(PLAIN, sampler="cmaes")) is sampler_note(load(MIXED, sampler="tpe")) is None


def test_a_grid_tries_everything_once_and_ends_there(tmp_path, load) -> None:
    settings = load({**SMALL, "dropout": 0.0}, sampler="grid", n_trials=100)
    study, _ = search(tmp_path, settings)
    assert len(study.trials) == count_tried(study) == settings.n_configurations == 3 * 3
    assert {tuple(sorted(trial.params)) for trial in study.trials} == {
        ("depth", "optimizer"), ("depth", "momentum", "optimizer"),
    }  # fmt: skip
    again, told = search(tmp_path, settings)
    assert (len(again.trials), told) == (9, [])


def test_a_grid_that_is_larger_than_the_budget_goes_on_where_it_was(tmp_path, load) -> None:
    space = {**SMALL, "dropout": 0.0}
    search(tmp_path, load(space, sampler="grid", n_trials=4))
    study, _ = search(tmp_path, load(space, sampler="grid", n_trials=9))
    assert len(study.trials) == count_tried(study) == 9


def test_auto_is_a_grid_where_the_budget_has_room_for_it(load) -> None:
    assert load(n_trials=36).search.sampler == "grid"
    assert load(n_trials=35).search.sampler == "tpe"
    assert load(PLAIN, n_trials=1000).search.sampler == "tpe"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sampler": "grid", "space": PLAIN}, "a step for the range of dropout, learning_rate, or choices"),
        ({"sampler": "tpee"}, "search.sampler: expected one of auto, grid, random, tpe, cmaes, qmc, gp, nsga2, "
                              "received 'tpee'; did you mean 'tpe'?"),
        ({"pruner": "hyperbnd"}, "search.pruner: expected one of auto, none, median, successive_halving, hyperband, "
                                 "patient, threshold, wilcoxon, received 'hyperbnd'; did you mean 'hyperband'?"),
        ({"pruner": {"type": "median", "patience": 3}}, "search.pruner.patience: expected one of startup_trials, type"),
        ({"pruner": {"type": "threshold"}}, "search.pruner: expected lower or upper or both"),
        ({"pruner": "threshold"}, "search.pruner: expected lower or upper or both"),
        ({"pruner": {"type": "hyperband", "reduction_factor": 1}}, "search.pruner.reduction_factor: expected"),
        ({"pruner": 3}, "search.pruner: expected"),
        ({"sampler": "nsga2"}, "search: expected a second_objective for sampler: nsga2"),
        ({"second_objective": "latency", "sampler": "cmaes"}, "expected another sampler beside second_objective"),
        ({"second_objective": "latency", "pruner": "median"}, "expected pruner: none beside second_objective: latency"),
        ({"second_objective": "latency", "finalist_seeds": 2}, "expected finalist_seeds: 0 beside second_objective"),
        ({"second_objective": "parametres"}, "search.second_objective: expected one of none, parameters, latency, "
                                             "received 'parametres'; did you mean 'parameters'?"),
        ({"tolerance": 1.0}, "search.tolerance: expected less than 1"),
    ],
)  # fmt: skip
def test_a_sampler_or_pruner_that_cannot_be_is_refused(load, changes, told) -> None:
    with pytest.raises(UserError, match="nothing was run") as refusal:
        load(**changes)
    assert told in str(refusal.value)


def test_gp_without_its_package_says_what_to_install(load, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"PyTorch for sampler: gp, .*uv pip install torch"):
        load(PLAIN, sampler="gp")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert load(PLAIN, sampler="gp").search.sampler == "gp"


def test_the_default_configuration_is_tried_first_and_once(tmp_path, load) -> None:
    space = {**MIXED, "dropout": {**PLAIN["dropout"], "default": 0.25}}
    study, _ = search(tmp_path, load(space, n_trials=1))
    study, _ = search(tmp_path, load(space, n_trials=3))
    first = {"depth": 2, "width_1": 40, "width_2": 40, "dropout": 0.25, "optimizer": "adam"}
    assert study.trials[0].params == {**first, "learning_rate": pytest.approx(10**-2.5)}
    assert [trial.params["dropout"] == 0.25 for trial in study.trials] == [True, False, False]
    assert default_configuration(load().search.space)["dropout"] == 0.1
    study, _ = search(tmp_path, load(sampler="grid", n_trials=1), name="")
    assert "fixed_params" not in study.trials[0].system_attrs


OWN_WIDTHS = {**SMALL, "width": {"type": "int", "low": 16, "high": 32, "step": 16, "layers": "own"}}


@pytest.mark.parametrize(("space", "n"), [(SMALL, 36), (PLAIN, None), (OWN_WIDTHS, (2 + 4 + 8) * 4 * 3)])
def test_configurations_are_counted_with_their_conditions(load, space, n) -> None:
    assert count_configurations(load(space).search.space, 1000) == n
    assert n is None or count_configurations(load(space).search.space, n - 1) is None


def test_a_configuration_that_was_trained_is_not_trained_again(tmp_path, load) -> None:
    space = {**SMALL, "dropout": 0.0}
    pool = Instant()
    study, told = search(tmp_path, load(space, sampler="random", n_trials=9), pool, "")
    twins = [trial for trial in study.trials if DUPLICATES in trial.user_attrs]
    assert twins
    assert count_tried(study) == 9 or len(finished_trials(study)) == 9
    assert len(pool.trained) == count_tried(study) == len(study.trials) - len(twins)
    for twin in twins:
        original = study.trials[twin.user_attrs[DUPLICATES]]
        assert (twin.params, twin.value) == (original.params, original.value)
        assert DUPLICATES not in original.user_attrs
        assert ("duplicate", f"trial {original.number} had the same hyperparameters") in told
    assert not any(DUPLICATES in trial.user_attrs for trial in best_trials(study))


def test_a_configuration_that_was_pruned_is_not_trained_again(tmp_path, load) -> None:
    settings = load(
        {**SMALL, "dropout": 0.0},
        sampler="random",
        pruner={"type": "threshold", "upper": 1.25},
        warmup_epochs=1,
        n_trials=24,
    )
    study, told = search(tmp_path, settings, Instant(epochs=9), "")
    twins = [trial for trial in study.trials if DUPLICATES in trial.user_attrs]
    assert {twin.state.name for twin in twins} == {"COMPLETE", "PRUNED"}
    for twin in twins:
        original = study.trials[twin.user_attrs[DUPLICATES]]
        assert (twin.state, twin.value, twin.intermediate_values) == (
            original.state, original.value, original.intermediate_values,
        )  # fmt: skip
    assert len(told) == len(finished_trials(study)) == len(study.trials)


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
def test_a_search_of_a_small_space_ends_when_all_of_it_was_tried(tmp_path, load, sampler) -> None:
    space = {**SMALL, "dropout": 0.0, "optimizer": "adam", "momentum": 0.9}
    study, _ = search(tmp_path, load(space, sampler=sampler, n_trials=500), name="")
    assert count_tried(study) == 3
    assert len(study.trials) < 500
    assert DUPLICATES not in study.trials[-1].user_attrs, "nothing is asked once all is tried"


@pytest.mark.parametrize(
    ("pruner", "ends"),
    [
        ("none", False), ("median", True), ("successive_halving", True), ("hyperband", True),
        ({"type": "patient", "patience": 2}, True),

        ({"type": "threshold", "upper": 3.0}, True), ({"type": "threshold", "upper": 1e9}, False),
        ({"type": "median", "startup_trials": 1000}, False), ({"type": "patient", "patience": 1000}, False),
    ],
)  # fmt: skip
def test_a_pruner_ends_bad_trials_and_keeps_the_best(tmp_path, load, pruner, ends) -> None:
    pool = Instant(epochs=9)
    study, told = search(tmp_path, load(PLAIN, sampler="random", pruner=pruner, n_trials=16, warmup_epochs=1), pool, "")
    states = [state for state, _ in told]
    assert ("pruned" in states) == ends
    assert "complete" in states
    best = min(trial.intermediate_values[0] for trial in study.trials)
    assert study.best_value == pytest.approx(best) or "pruned" in states


@pytest.mark.parametrize(("pruner", "waits"), [("none", []), ("median", [3, 4])])
def test_a_trial_waits_for_the_study_only_where_it_may_be_pruned(tmp_path, load, pruner, waits) -> None:
    class Watched(Instant):
        def answer(self, progress, go_on) -> None:
            if progress.epoch in progress.job.study.trials[-1].intermediate_values:
                waited.append(progress.epoch)

    waited = []
    study, _ = search(tmp_path, load(PLAIN, pruner=pruner, n_trials=1, warmup_epochs=3), Watched(epochs=5), "")
    assert waited == waits
    assert sorted(study.trials[0].intermediate_values) == [0, 1, 2, 3, 4]


def test_auto_prunes_by_brackets_only_where_there_are_many_trials(load) -> None:
    from optuna.pruners import HyperbandPruner, MedianPruner

    assert isinstance(make_pruner(load(PLAIN, n_trials=99)), MedianPruner)
    assert isinstance(make_pruner(load(PLAIN, n_trials=100)), HyperbandPruner)
    assert isinstance(make_pruner(load(PLAIN, n_trials=None, timeout=60.0)), HyperbandPruner)


@pytest.mark.parametrize("sampler", ["auto", "random", "tpe", "qmc", "nsga2"])
def test_with_a_second_objective_nothing_is_pruned_and_a_front_is_kept(tmp_path, load, sampler, capfd) -> None:
    space = {**MIXED, "width": {"type": "int", "low": 16, "high": 64}}
    settings = load(space, sampler=sampler, second_objective="parameters", n_trials=12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study, told = search(tmp_path, settings, Instant(epochs=3), "")
    assert {state for state, _ in told} == {"complete"}
    assert capfd.readouterr().err == ""
    kept = pareto_front(study)
    assert 1 <= len(kept) < 12
    for trial in kept:
        assert trial.values[1] == 10 * trial.params["width"]
        others = [other.values for other in study.trials]
        assert not any(v <= trial.values[0] and n <= trial.values[1] and [v, n] != trial.values for v, n in others)


def test_auto_with_two_objectives_is_a_genetic_search_where_there_is_room_for_it(load) -> None:
    assert load(PLAIN, second_objective="parameters", n_trials=999).search.sampler == "tpe"
    assert load(PLAIN, second_objective="parameters", n_trials=1000).search.sampler == "nsga2"
