"""Optuna's storage: created for a search, opened for reading, and the studies in it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import sqlalchemy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from contracts.errors import UserError, nearest
from models.search.study import ABANDONED
from pipeline.tracking import databases


def create_storage(address: str) -> optuna.storages.RDBStorage:
    """The storage at an address, made where it is missing.

    From now on SQLite waits less for the disk in this process, for MLflow's store as well: a trial has forty commits.
    """
    file = address.removeprefix("sqlite:///")
    if file == address:
        return optuna.storages.RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
    databases.use_write_ahead_log(Path(file))
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", databases.commit_without_waiting)
    return optuna.storages.RDBStorage(address, engine_kwargs={"connect_args": {"timeout": 60}})


def open_storage() -> optuna.storages.RDBStorage:
    """The storage of all studies, which must exist.

    Raises:
        UserError: if there is none, or Optuna cannot read it.
    """
    address = databases.optuna_storage()
    file = address.removeprefix("sqlite:///")
    if file != address and not Path(file).exists():  # opening a missing file would create it
        raise UserError(f"there are no studies yet in {file}: run `make repro` first")
    try:
        return optuna.storages.RDBStorage(address)
    except Exception as error:  # an error of the database's driver
        where = file if file != address else "OPTUNA_STORAGE"
        reason = str(error).splitlines()[0]
        raise UserError(f"{where}: expected a database of Optuna's studies that can be read: {reason}") from None


def load(storage: optuna.storages.RDBStorage, name: str) -> optuna.Study:
    """The study of that name.

    Raises:
        UserError: when there is none, with the nearest name.
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        hint = nearest(name, names) or "; `make studies` lists them"
        raise UserError(f"expected a study of the storage, received {name!r}{hint}")
    return optuna.load_study(study_name=name, storage=storage)


def dataset_of(study: optuna.Study) -> str:
    return study.study_name.rpartition("-")[0]


def states(study: optuna.Study) -> Counter[str]:
    """How many trials are in each state; abandoned trials do not count."""
    trials = study.get_trials(deepcopy=False)
    return Counter(trial.state.name.lower() for trial in trials if ABANDONED not in trial.user_attrs)


def best_values(study: optuna.Study) -> list[float]:
    """The best value of each objective; empty where no trial is complete."""
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if not complete:
        return []
    of_each = zip(*(trial.values for trial in complete), strict=True)
    return [
        max(values) if direction is StudyDirection.MAXIMIZE else min(values)
        for direction, values in zip(study.directions, of_each, strict=True)
    ]


def changed(study: optuna.Study) -> Any:
    """When a trial last started or ended, in local time; None without trials."""
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False)
    times = [time for trial in trials for time in (trial.datetime_start, trial.datetime_complete) if time is not None]
    return max(times, default=None)


def table(study: optuna.Study) -> pd.DataFrame:
    """A row per trial: number, value, state, times, hyperparameters and attributes.

    Lists and mappings become JSON, so that CSV and Parquet can hold them.
    """
    value = "value" if len(study.directions) == 1 else "values"
    frame = study.trials_dataframe(
        ("number", value, "datetime_start", "datetime_complete", "duration", "params", "user_attrs", "state")
    )
    if "duration" in frame:
        frame["duration"] = frame["duration"].dt.total_seconds()
    for name in frame.columns:
        kinds = {type(value) for value in frame[name] if value is not None and value == value}
        if kinds & {dict, list, tuple} or len(kinds) > 1:
            frame[name] = [None if value is None or value != value else _text(value) for value in frame[name]]
    return frame


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
