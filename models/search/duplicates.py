"""A configuration that was tried before is not trained again: its trial takes over the earlier result."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from models.search.trial import OnTrial

DUPLICATES = "duplicates"  # attribute: the number of the trial whose result this trial has taken over


def earlier_trial(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial | None:
    """The first trial with the same hyperparameters that was trained to its end or pruned."""
    ended, params = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)), trial.params
    return next((other for other in ended if other.params == params), None)


def take_over(
    study: optuna.Study, trial: optuna.Trial, earlier: FrozenTrial, hyperparameters: dict[str, Any], on_trial: OnTrial
) -> None:
    """End a trial with the result of the earlier one."""
    names = ("seed", "n_parameters", "best_epoch")
    taken = {name: earlier.user_attrs[name] for name in names if name in earlier.user_attrs}
    for name, value in (taken | {"hyperparameters": hyperparameters, DUPLICATES: earlier.number}).items():
        trial.set_user_attr(name, value)
    for epoch, value in earlier.intermediate_values.items():
        trial.report(value, epoch)
    on_trial(trial, "duplicate", None, f"trial {earlier.number} had the same hyperparameters")
    # Optuna takes the value of a pruned trial from its last report, and refuses a value here.
    study.tell(trial, earlier.values if earlier.state == TrialState.COMPLETE else None, state=earlier.state)
