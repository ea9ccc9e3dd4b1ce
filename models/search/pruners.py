"""Which trials are ended before their last epoch."""

import warnings

import optuna
from optuna.pruners import BasePruner

from contracts.settings.load import Search
from contracts.settings.pruners import Halving, Median, Patient, Plain, Pruner, Threshold, Wilcoxon

MANY = 100  # trials from which on brackets have enough of them


def pruner_of(search: Search, epochs: int) -> BasePruner:
    """Optuna's pruner of that name.

    Args:
        epochs: of a trial at most, of which every trial may run `search.warmup_epochs`; or its folds.
    """
    warmup = search.warmup_epochs if search.folds == 1 else 0
    first = max(1, warmup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match chosen(search):
            case Median(startup_trials=trials):
                return optuna.pruners.MedianPruner(trials, warmup)
            case Halving(type="successive_halving", reduction_factor=factor):
                return optuna.pruners.SuccessiveHalvingPruner(first, factor)
            case Halving(reduction_factor=factor):
                return optuna.pruners.HyperbandPruner(min(first, epochs), epochs, factor)
            case Patient(patience=patience, startup_trials=trials):
                median = optuna.pruners.MedianPruner(trials, warmup)
                return optuna.pruners.PatientPruner(median, patience)
            case Threshold(lower=lower, upper=upper):
                return optuna.pruners.ThresholdPruner(lower, upper, warmup)
            case Wilcoxon(p=p, startup_folds=folds):
                return optuna.pruners.WilcoxonPruner(p_threshold=p, n_startup_steps=folds)
            case _:
                return optuna.pruners.NopPruner()


def chosen(search: Search) -> Pruner:
    """What `auto` stands for: a test for five folds or more, brackets for many trials, else the median.

    With Optuna's TPE, Hyperband is the pruner that its authors' benchmarks favour; but each of its brackets
    learns from its own trials alone, so that it needs many.
    """
    if search.pruner != Plain(type="auto"):
        return search.pruner
    if search.second_objective != "none":
        return Plain(type="none")
    if search.folds > 1:  # with three no p is below 0.1, with four only if all agree
        return Wilcoxon(type="wilcoxon") if search.folds >= 5 else Median(type="median")
    if search.n_trials is not None and search.n_trials < MANY:
        return Median(type="median")
    return Halving(type="hyperband")
