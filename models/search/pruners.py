"""Optuna's pruners by name: which trials end before their last epoch."""

import warnings

import optuna
from optuna.pruners import BasePruner

from contracts.settings.pruners import Halving, Median, Patient, Threshold, Wilcoxon
from models.search.plan import Plan


def make_pruner(plan: Plan) -> BasePruner:
    """The pruner of a plan. Steps are epochs or folds; every trial runs `warmup_epochs` epochs."""
    steps = plan.epochs if plan.search.folds == 1 else plan.search.folds
    warmup, first = plan.warmup, max(1, plan.warmup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match plan.search.pruner:
            case Median(startup_trials=trials):
                return optuna.pruners.MedianPruner(trials, warmup)
            case Halving(type="successive_halving", reduction_factor=factor):
                return optuna.pruners.SuccessiveHalvingPruner(first, factor)
            case Halving(reduction_factor=factor):
                return optuna.pruners.HyperbandPruner(min(first, steps), steps, factor)
            case Patient(patience=patience, startup_trials=trials):
                median = optuna.pruners.MedianPruner(trials, warmup)
                # Optuna counts reports.
                every = plan.report_every if plan.search.folds == 1 else 1
                return optuna.pruners.PatientPruner(median, max(1, round(patience / every)))
            case Threshold(lower=lower, upper=upper):
                return optuna.pruners.ThresholdPruner(lower, upper, warmup)
            case Wilcoxon(p=p, startup_folds=folds):
                return optuna.pruners.WilcoxonPruner(p_threshold=p, n_startup_steps=folds)
            case _:
                return optuna.pruners.NopPruner()
