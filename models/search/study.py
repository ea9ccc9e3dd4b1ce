"""A study in Optuna's storage: open it, count its trials, and close those that a dead search left open.

One process searches a study at a time and is the only one that writes to it, so that SQLite is enough for any number of
workers.
"""

from collections.abc import Callable

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from models.search.plan import Plan
from models.search.portfolio import portfolio
from models.search.pruners import make_pruner
from models.search.samplers import make_sampler
from models.search.space import default_configuration

# A failure counts as a result: the same configuration would fail again.
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
ABANDONED = "abandoned"  # attribute: why a trial was ended from outside; it does not count, and is trained again
RESUMES = "resumes"  # attribute: the number of the trial whose seed and checkpoint this trial takes over
SECONDS = "seconds"  # attribute: seconds of all searches of the study


def open_study(plan: Plan, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """Create the study of a plan, or open the one of that name."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first = StudyDirection.MAXIMIZE if plan.metric.higher_is_better else StudyDirection.MINIMIZE
    study = optuna.create_study(
        study_name=plan.study,
        storage=storage,
        directions=[first, StudyDirection.MINIMIZE][: len(plan.objectives)],
        load_if_exists=True,
        pruner=make_pruner(plan),
    )
    study.sampler = make_sampler(plan, len(study.trials))
    if not study.trials and plan.search.sampler != "grid":
        for configuration in (default_configuration(plan.search.space), *portfolio(plan.search.space)):
            study.enqueue_trial(configuration)
    return study


def abandon_running(study: optuna.Study, why: str, on_abandoned: Callable[[int], None] = lambda number: None) -> None:
    """Close the trials that are marked as running although nobody trains them, and enqueue the same ones again.

    An interrupt in between does no harm: the next call closes the trials that are still open.

    Args:
        on_abandoned: called with the number of each trial before it is closed.
    """
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    enqueued = {trial.user_attrs.get(RESUMES) for trial in waiting}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        on_abandoned(trial.number)
        # The number of the trial that it resumes: same seed, same checkpoint.
        number = trial.user_attrs.get(RESUMES, trial.number)
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        if params and number not in enqueued:
            study.enqueue_trial(params, {RESUMES: number})
        study._storage.set_trial_user_attr(trial._trial_id, ABANDONED, why)
        study.tell(trial.number, state=TrialState.FAIL)


def resumable_trials(study: optuna.Study) -> set[int]:
    """The numbers of the trials whose checkpoints the next search takes over."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return {trial.user_attrs[RESUMES] for trial in waiting if RESUMES in trial.user_attrs}


def seconds_searched(study: optuna.Study) -> float:
    """Seconds of all searches of the study; a killed search counts up to its last trial."""
    return float(study.user_attrs.get(SECONDS, 0))


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the budget."""
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    return [trial for trial in trials if ABANDONED not in trial.user_attrs]


def count_tried(study: optuna.Study) -> int:
    """How many different configurations have been tried, or are being tried."""
    trials = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))
    return len({frozenset(trial.params.items()) for trial in trials if ABANDONED not in trial.user_attrs})
