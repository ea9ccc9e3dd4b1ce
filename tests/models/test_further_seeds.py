"""What a search keeps of the further seeds of its finalists, and the patience of a pruner."""

from types import SimpleNamespace

import optuna
import pytest

from contracts.settings.pruners import Patient
from models.search import finalists
from models.search.pruners import make_pruner
from models.search.workers.events import Done
from tests.models.instant import iris, plan_of


def test_only_the_missing_seeds_are_trained_whichever_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.9, user_attrs={"hyperparameters": {}}))
    plan = plan_of(iris(finalist_seeds=4))
    asked: list[list[int]] = []

    def train_each(todo, *_):
        asked.append([number for _, number in todo])
        for job in todo[1:2]:  # the second one ends, then the search is interrupted
            yield Done(job, SimpleNamespace(value=job[1] / 10))

    monkeypatch.setattr(finalists, "train_each", train_each)
    for _ in range(2):
        finalists.train_with_more_seeds(study, study.trials, plan, None, None, None)
    assert asked == [[1, 2, 3, 4], [1, 3, 4]]
    assert finalists.values_of_seeds(study, study.trials[0]) == [0.9, 0.2, 0.3]


def test_values_that_an_earlier_version_kept_in_a_list_still_count() -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.9))
    study.set_user_attr("finalist 0", [0.5, None])
    finalists._keep(study, study.trials[0], 4, 0.7)
    assert finalists._of_seeds(study, study.trials[0]) == {1: 0.5, 2: None, 4: 0.7}


@pytest.mark.parametrize(("epochs", "folds", "reports"), [(20, 1, 30), (200, 1, 3), (200, 5, 30)])
def test_the_patience_of_a_pruner_counts_epochs_or_folds(epochs: int, folds: int, reports: int) -> None:
    params = iris(pruner=Patient(type="patient", patience=30), folds=folds)
    params = params.model_copy(update={"train": params.train.model_copy(update={"epochs": epochs})})
    assert make_pruner(plan_of(params))._patience == reports
