"""A search that died leaves trials that the next one goes on with."""

from pathlib import Path

import pytest

from contracts.settings.load import load_params
from models.search.study import RESUMES, Objective, abandon, finished_trials, open_study
from models.training.data import Data

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params():
    return load_params(ROOT / "params.yaml", "iris")


def test_a_trial_left_running_is_asked_for_again_with_its_seed_and_checkpoint(params, tmp_path):
    objective = Objective(Data(tmp_path, tmp_path / "schema.json"), "log_loss", False, params.train)
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    dead = open_study("s", storage, params.search, objective).ask()
    dead.suggest_int("depth", 1, 3)
    told: list[int] = []
    for expected in (1, 2):  # the second search dies too
        study = open_study("s", storage, params.search, objective)
        abandon(study, "it died", told.append)
        again = study.ask()
        assert again.number == expected
        assert again.user_attrs[RESUMES] == dead.number
        assert again.suggest_int("depth", 1, 3) == dead.params["depth"]
    assert finished_trials(study) == []
    assert told == [0, 1]


def test_a_search_that_dies_while_it_closes_a_trial_asks_for_it_once(params, tmp_path):
    objective = Objective(Data(tmp_path, tmp_path / "schema.json"), "log_loss", False, params.train)
    study = open_study("s", f"sqlite:///{tmp_path / 'optuna.db'}", params.search, objective)
    study.ask().suggest_int("depth", 1, 3)

    class Dies(Exception):
        pass

    def dies(*_, **__):
        raise Dies

    whole, study.tell = study.tell, dies
    with pytest.raises(Dies):
        abandon(study, "it died")
    study.tell = whole
    abandon(study, "it died")
    states = [trial.state.name for trial in study.trials]
    assert states == ["FAIL", "WAITING"]


def test_a_trial_that_died_before_it_had_its_values_is_asked_for_with_those_it_was_to_have(params, tmp_path):
    objective = Objective(Data(tmp_path, tmp_path / "schema.json"), "log_loss", False, params.train)
    study = open_study("s", f"sqlite:///{tmp_path / 'optuna.db'}", params.search, objective)
    study.ask().suggest_int("depth", 1, 3)
    abandon(study, "it died")
    study.ask()
    abandon(study, "it died")
    again = study.ask()
    assert again.suggest_int("depth", 1, 3) == study.trials[0].params["depth"]
    assert again.user_attrs[RESUMES] == 0
