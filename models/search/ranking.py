"""The best trials of a study: by the metric alone, or with a second objective beside it."""

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from models.search.duplicates import DUPLICATES


def best_trials(study: optuna.Study, tolerance: float = 0.0) -> list[FrozenTrial]:
    """The complete trials without duplicates, the best first; ties go to fewer parameters, then to the earlier trial.

    With two objectives they come from the Pareto front: first those whose metric is within `tolerance` of the best (a
    fraction of it), the smallest second objective first; then the others by their metric.
    """
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1

    def by_metric(trial: FrozenTrial) -> tuple[float, int, int]:
        return sign * trial.values[0], trial.user_attrs["n_parameters"], trial.number

    if len(study.directions) == 1:
        return sorted(_complete(study), key=by_metric)
    ranked = sorted(pareto_front(study), key=by_metric)
    if not ranked:
        return []
    best = ranked[0].values[0]
    near = [trial for trial in ranked if sign * (trial.values[0] - best) <= tolerance * abs(best)]
    smallest_first = sorted(near, key=lambda trial: (trial.values[1], *by_metric(trial)))
    return [*smallest_first, *ranked[len(near) :]]


def pareto_front(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that no other beats in one objective while it equals them in the other (Pareto, 1906)."""
    numbers = {trial.number for trial in _complete(study)}
    return [trial for trial in study.best_trials if trial.number in numbers]


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in complete if DUPLICATES not in trial.user_attrs]
