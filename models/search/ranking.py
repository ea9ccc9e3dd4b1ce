"""Which trials are the best: by the metric alone, or with a second objective beside it."""

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from models.search.duplicates import DUPLICATES


def best_trials(study: optuna.Study, keep: int, tolerance: float = 0.0) -> list[FrozenTrial]:
    """The best completed trials, all different; ties go to fewer parameters, then to the earlier trial.

    With two objectives they are those of the front. First come the ones whose metric is within `tolerance` of
    the best, as a fraction of it, the smallest second objective first; then the others by their metric.
    """
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1

    def by_metric(trial: FrozenTrial) -> tuple[float, int, int]:
        return sign * trial.values[0], trial.user_attrs["n_parameters"], trial.number

    if len(study.directions) == 1:
        return sorted(_completed(study), key=by_metric)[:keep]
    ranked = sorted(front(study), key=by_metric)
    if not ranked:
        return []
    best = ranked[0].values[0]
    near = [trial for trial in ranked if sign * (trial.values[0] - best) <= tolerance * abs(best)]
    smallest_first = sorted(near, key=lambda trial: (trial.values[1], *by_metric(trial)))
    return [*smallest_first, *ranked[len(near) :]][:keep]


def front(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of which no other is better in one objective and as good in the other (Pareto, 1906)."""
    different = {trial.number for trial in _completed(study)}
    return [trial for trial in study.best_trials if trial.number in different]


def _completed(study: optuna.Study) -> list[FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in complete if DUPLICATES not in trial.user_attrs]
