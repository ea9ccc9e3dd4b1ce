"""Which trials are ended before their last epoch."""

import warnings

import optuna
from optuna.pruners import BasePruner

from pipeline.params import Search
from pipeline.pruning import Halving, Median, Patient, Plain, Pruner, Threshold, Wilcoxon

MANY = 100  # trials from which on brackets have enough of them


def pruner_of(search: Search, epochs: int) -> BasePruner:
    """Optuna's pruner of that name.

    Args:
        epochs: of a trial at most; every trial may run `search.warmup_epochs` of them.
    """
    first = max(1, search.warmup_epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match chosen(search):
            case Median(startup_trials=trials):
                return optuna.pruners.MedianPruner(trials, search.warmup_epochs)
            case Halving(type="successive_halving", reduction_factor=factor):
                return optuna.pruners.SuccessiveHalvingPruner(first, factor)
            case Halving(reduction_factor=factor):
                return optuna.pruners.HyperbandPruner(min(first, epochs), epochs, factor)
            case Patient(patience=patience, startup_trials=trials):
                median = optuna.pruners.MedianPruner(trials, search.warmup_epochs)
                return optuna.pruners.PatientPruner(median, patience)
            case Threshold(lower=lower, upper=upper):
                return optuna.pruners.ThresholdPruner(lower, upper, search.warmup_epochs)
            case Wilcoxon(p=p, startup_folds=folds):
                return optuna.pruners.WilcoxonPruner(p_threshold=p, n_startup_steps=folds)
            case _:
                return optuna.pruners.NopPruner()


def chosen(search: Search) -> Pruner:
    """What `auto` stands for: brackets for many trials, else the median.

    With Optuna's TPE, Hyperband is the pruner that its authors' benchmarks favour; but each of its brackets
    learns from its own trials alone, so that it needs many.
    """
    if search.pruner != Plain(type="auto"):
        return search.pruner
    if search.n_trials is not None and search.n_trials < MANY:
        return Median(type="median")
    return Halving(type="hyperband")
