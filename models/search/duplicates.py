"""A configuration that was tried already is not trained again: its trial takes over how the earlier one ended."""

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from models.search.trial import OnTrial

DUPLICATES = "duplicates"  # the number of the trial whose value another one takes over


def twin_of(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial | None:
    """The first trial with the same hyperparameters that was trained to its end or pruned."""
    answered = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return next((other for other in answered if other.params == trial.params), None)


def take_over(
    study: optuna.Study, trial: optuna.Trial, twin: FrozenTrial, hyperparameters: dict[str, Any], on_trial: OnTrial
) -> None:
    """End a trial as the one that had the same hyperparameters did, without training it once more."""
    taken = {name: twin.user_attrs[name] for name in ("seed", "n_parameters", "best_epoch") if name in twin.user_attrs}
    for name, value in (taken | {"hyperparameters": hyperparameters, DUPLICATES: twin.number}).items():
        trial.set_user_attr(name, value)
    for epoch, value in twin.intermediate_values.items():
        trial.report(value, epoch)
    on_trial(trial, "duplicate", None, f"trial {twin.number} had the same hyperparameters")
    # What a pruned one is worth is its last report, which Optuna finds by itself and does not want to be told.
    study.tell(trial, twin.values if twin.state == TrialState.COMPLETE else None, state=twin.state)
