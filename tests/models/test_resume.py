"""A search that died leaves trials that the next one goes on with."""

import pytest

from models.search.study import RESUMES, abandon_running, finished_trials, open_study
from tests.models.instant import iris, plan_of


@pytest.fixture
def study_of(tmp_path):
    """Opens the study once more, as another search does."""
    return lambda: open_study(plan_of(iris()), f"sqlite:///{tmp_path / 'optuna.db'}")


def test_a_trial_left_running_is_trained_again_with_its_seed_and_checkpoint(study_of):
    dead = study_of().ask()
    dead.suggest_int("depth", 1, 3)
    abandoned: list[int] = []
    for expected in (1, 2):  # the second search dies too
        study = study_of()
        abandon_running(study, "it died", abandoned.append)
        again = study.ask()
        assert again.number == expected
        assert again.user_attrs[RESUMES] == dead.number
        assert again.suggest_int("depth", 1, 3) == dead.params["depth"]
    assert finished_trials(study) == []
    assert abandoned == [0, 1]


def test_a_search_that_dies_while_it_closes_a_trial_enqueues_it_once(study_of):
    study = study_of()
    study.ask().suggest_int("depth", 1, 3)

    class Dies(Exception):
        pass

    def dies(*_, **__):
        raise Dies

    whole, study.tell = study.tell, dies
    with pytest.raises(Dies):
        abandon_running(study, "it died")
    study.tell = whole
    abandon_running(study, "it died")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]


def test_a_trial_that_died_before_its_values_were_suggested_is_enqueued_with_those_it_was_to_have(study_of):
    study = study_of()
    study.ask().suggest_int("depth", 1, 3)
    abandon_running(study, "it died")
    study.ask()
    abandon_running(study, "it died")
    again = study.ask()
    assert again.suggest_int("depth", 1, 3) == study.trials[0].params["depth"]
    assert again.user_attrs[RESUMES] == 0
