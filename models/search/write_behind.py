"""A study in memory that a database follows, so that no trial waits for a disk or a server."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

HERE = 0  # the id, in memory, of the one study


class WriteBehind(InMemoryStorage):
    """One study of a database, read and changed in memory. The database is changed at once, or `behind` when asked to.

    One process at a time searches a study (`file_lock`, `study_lock`), so that the memory is right. What
    others put into the database meanwhile, from a dashboard say, is taken in whenever a trial is created.
    A kill of this process loses what was not written yet: such a trial is found running, and asked for again.

    Args:
        name: of the study; it need not exist.
    """

    def __init__(self, database: RDBStorage, name: str) -> None:
        super().__init__()
        self._database = database
        self._trials: dict[int, int] = {}  # their ids in the database, by those here, which are their numbers
        self._pending: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._behind = False
        for study in database.get_all_studies():
            if study.study_name == name:
                self._study = study._study_id
                super().create_new_study(study.directions, name)
                for key, value in study.user_attrs.items():
                    super().set_study_user_attr(HERE, key, value)
                for key, value in study.system_attrs.items():
                    super().set_study_system_attr(HERE, key, value)
                self._take_in()

    @contextlib.contextmanager
    def behind(self) -> Iterator[None]:
        """Within, changes wait for the next `flush`; its end is one too, and takes in what an interrupt kept away."""
        self._behind = True
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # a store that failed: the search says why it ended, not this
                self.flush()
                self._take_in()
            raise
        finally:
            self._behind = False
        self.flush()

    def flush(self) -> None:
        """Write what has changed, in order. What cannot be written is kept for the next time."""
        while self._pending:
            write, arguments = self._pending[0]
            try:
                write(*arguments)
            except UpdateFinishedTrialError:  # written already, if an interrupt came before the next line
                if not self._ended(*arguments):
                    raise
            self._pending.popleft()

    def _ended(self, there: int, state: object, values: object = None, *_: object) -> bool:
        trial = self._database.get_trial(there)
        return (trial.state, trial.values) == (state, values)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        here = super().create_new_study(directions, study_name)
        self._study = self._database.create_new_study(directions, study_name)
        return here

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Never behind, because it is the database that numbers the trials."""
        if template_trial is not None:  # asked for again: only once the database knows how the first time ended
            self.flush()
        there = self._database.create_new_trial(self._study, template_trial)
        number = self._database.get_trial_number_from_id(there)
        self._take_in(until=number)
        self._trials[number] = there
        return super().create_new_trial(study_id, template_trial)

    def _take_in(self, until: int | None = None) -> None:
        """Trials of the database that are not here yet, up to a number."""
        here = len(super().get_all_trials(HERE, deepcopy=False))
        if here == until:
            return
        for trial in self._database.get_all_trials(self._study, deepcopy=False)[here:until]:
            self._trials[trial.number] = trial._trial_id
            super().create_new_trial(HERE, trial)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, value)
        self._write(self._database.set_study_user_attr, self._study, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        self._write(self._database.set_study_system_attr, self._study, key, value)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        there = self._trials[trial_id]
        self._write(self._database.set_trial_param, there, param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        changed = super().set_trial_state_values(trial_id, state, values)
        self._write(self._database.set_trial_state_values, self._trials[trial_id], state, values)
        return changed

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._write(self._database.set_trial_intermediate_value, self._trials[trial_id], step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._write(self._database.set_trial_user_attr, self._trials[trial_id], key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        self._write(self._database.set_trial_system_attr, self._trials[trial_id], key, value)

    def _write(self, write: Callable[..., object], *arguments: Any) -> None:
        self._pending.append((write, arguments))
        if not self._behind:
            self.flush()
