"""A study in memory and the database that follows it: they agree, whatever happens in between."""

import sqlite3
from collections import deque
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from models.search.write_behind import WriteBehind


def database(file: Path, timeout: float = 60) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": timeout}})


def study_of(storage: WriteBehind) -> optuna.Study:
    return optuna.create_study(
        study_name="s", storage=storage, direction="maximize", load_if_exists=True, pruner=optuna.pruners.NopPruner()
    )


def in_the_database(file: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=database(file))


def told(trial: optuna.trial.FrozenTrial) -> tuple:
    return (
        trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.intermediate_values,
        trial.user_attrs, trial.system_attrs,
    )  # fmt: skip


def of_samplers(study: optuna.Study) -> dict:
    return study._storage.get_study_system_attrs(study._study_id)


def same(file: Path, study: optuna.Study) -> bool:
    there = in_the_database(file)
    assert [told(trial) for trial in there.trials] == [told(trial) for trial in study.trials]
    assert there.user_attrs == study.user_attrs
    assert of_samplers(there) == of_samplers(study)
    return True


def some_trials(study: optuna.Study) -> None:
    """A trial of each end."""
    study.set_user_attr("seconds", 1.5)
    study._storage.set_study_system_attr(study._study_id, "of the sampler", [1, 2])
    study.enqueue_trial({"x": 0.5, "kind": "b"}, {"resumes": 7})
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("kind", ["a", "b"])
        trial.set_user_attr("seed", trial.number)
        for epoch in range(3):
            trial.report(epoch / 10, epoch)
        study.tell(trial, 0.7 if state == TrialState.COMPLETE else None, state=state)


def test_every_change_is_in_the_database_and_a_second_search_reads_it_back(tmp_path):
    file = tmp_path / "optuna.db"
    study = study_of(WriteBehind(database(file), "s"))
    some_trials(study)
    study.enqueue_trial({"x": 0.25})
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL", "WAITING"]
    assert study.trials[0].params == {"x": 0.5, "kind": "b"}
    assert same(file, study)
    again = study_of(WriteBehind(database(file), "s"))
    assert same(file, again)
    assert again.best_value == 0.7
    assert again.ask().suggest_float("x", 0, 1) == 0.25


def test_what_is_written_behind_is_in_the_database_after_a_flush_and_not_before(tmp_path):
    file = tmp_path / "optuna.db"
    storage = WriteBehind(database(file), "s")
    study = study_of(storage)
    with storage.behind():
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        study.tell(trial, 0.5)
        assert study.best_value == 0.5
        assert [(t.state.name, t.params) for t in in_the_database(file).trials] == [("RUNNING", {})]
        storage.flush()
        assert same(file, study)
        study.set_user_attr("seconds", 2)
        assert in_the_database(file).user_attrs == {}
    assert same(file, study)


def test_an_error_in_between_loses_nothing(tmp_path):
    file = tmp_path / "optuna.db"
    storage = WriteBehind(database(file), "s")
    study = study_of(storage)

    def searches() -> None:
        with storage.behind():
            some_trials(study)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        searches()
    assert same(file, study)


def test_what_cannot_be_written_now_is_written_later_and_once(tmp_path):
    file = tmp_path / "optuna.db"
    storage = WriteBehind(database(file, timeout=0.1), "s")
    study = study_of(storage)
    other = sqlite3.connect(file)
    with storage.behind():
        some_trials(study)
        other.execute("begin exclusive")
        with pytest.raises(optuna.exceptions.StorageInternalError):
            storage.flush()
        other.rollback()
    assert same(file, study)


class Interrupts(deque):
    """Ends with an interrupt what has just written something, before it can note that: once for each write."""

    interrupted = False

    def popleft(self):
        self.interrupted = not self.interrupted
        if self.interrupted:
            raise KeyboardInterrupt
        return super().popleft()


def test_interrupts_between_writing_and_noting_it_change_nothing(tmp_path):
    file, interrupts = tmp_path / "optuna.db", 0
    storage = WriteBehind(database(file), "s")
    study = study_of(storage)
    with storage.behind():
        some_trials(study)
        storage._pending = Interrupts(storage._pending)
        while storage._pending:
            try:
                storage.flush()
            except KeyboardInterrupt:
                interrupts += 1
    assert interrupts > 20
    assert same(file, study)


def test_an_interrupt_while_a_trial_is_made_leaves_none_unknown(tmp_path, monkeypatch):
    file = tmp_path / "optuna.db"
    storage = WriteBehind(database(file), "s")
    study = study_of(storage)

    def searches() -> None:
        with storage.behind():
            some_trials(study)
            study.ask()

    asked = storage._database.get_trial_number_from_id

    def interrupts_the_last(trial_id: int) -> int:
        if len(study.trials) == 3:
            raise KeyboardInterrupt
        return asked(trial_id)

    monkeypatch.setattr(storage._database, "get_trial_number_from_id", interrupts_the_last)
    with pytest.raises(KeyboardInterrupt):
        searches()
    monkeypatch.undo()
    assert study.trials[3].state == TrialState.RUNNING
    study.tell(3, state=TrialState.FAIL)
    assert same(file, study)


def test_the_end_of_a_trial_that_somebody_else_has_ended_otherwise_is_an_error(tmp_path):
    file = tmp_path / "optuna.db"
    study = study_of(WriteBehind(database(file), "s"))
    trial = study.ask()
    in_the_database(file).tell(trial.number, 0.5)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        study.tell(trial, 0.25)


def test_a_trial_that_somebody_else_adds_is_taken_in_and_the_numbers_agree(tmp_path):
    file = tmp_path / "optuna.db"
    study = study_of(WriteBehind(database(file), "s"))
    first = study.ask()
    in_the_database(file).enqueue_trial({"x": 0.125})
    assert study.ask().number == 2
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "WAITING", "RUNNING"]
    wanted = study.ask()
    assert (wanted.number, wanted.suggest_float("x", 0, 1)) == (1, 0.125)
    study.tell(wanted, 0.25)
    study.tell(first, 0.5)
    assert same(file, study)


def test_other_studies_of_the_database_are_left_alone(tmp_path):
    file = tmp_path / "optuna.db"
    other = optuna.create_study(study_name="other", storage=database(file))
    other.enqueue_trial({"x": 1.0})
    study = study_of(WriteBehind(database(file), "s"))
    some_trials(study)
    assert same(file, study)
    assert [trial.state.name for trial in optuna.load_study(study_name="other", storage=database(file)).trials] == [
        "WAITING"
    ]
