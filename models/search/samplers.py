"""Optuna's samplers by name."""

import warnings

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, BruteForceSampler, RandomSampler

from contracts.settings.space import Choices
from models.search.plan import Plan
from models.search.space import is_conditional, unconditional_ranges


class Grid(BruteForceSampler):
    """Every configuration once, conditions included, in an order that the seed decides.

    Optuna's GridSampler knows no conditions, and its brute force stops the loop of `optimize` when nothing is left. The
    search has a loop of its own, which counts configurations.
    """

    def after_trial(self, *_: object) -> None:
        pass


class CmaEs(optuna.samplers.CmaEsSampler):
    """CMA-ES over the ranges that every trial uses.

    Optuna's own takes the ranges of all trials so far. Their number falls when a condition holds for the first time,
    and then it fails on generations of different sizes.
    """

    ranges: dict[str, BaseDistribution]

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        return self.ranges


def make_sampler(plan: Plan, n_trials: int) -> BaseSampler:
    """The sampler of a plan.

    Args:
        n_trials: trials that the study already has; the sampler must not draw their random numbers again.
    """
    search = plan.search
    seed = search.seed + n_trials
    at_random = RandomSampler(seed=seed)
    conditional = any(is_conditional(entry) for entry in search.space.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.sampler:
            case "grid":
                return Grid(seed=seed)
            case "random":
                return at_random
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=seed)
            case "cmaes":
                sampler = CmaEs(
                    seed=seed, independent_sampler=at_random, warn_independent_sampling=False, with_margin=True
                )
                sampler.ranges = unconditional_ranges(search.space)
                return sampler
            case "qmc":  # a sequence, which continues after its last point
                return optuna.samplers.QMCSampler(
                    seed=search.seed, scramble=True, independent_sampler=at_random, warn_independent_sampling=False
                )
            case "gp":
                return optuna.samplers.GPSampler(
                    seed=seed, independent_sampler=at_random, warn_independent_sampling=False
                )
            case _:
                return optuna.samplers.TPESampler(
                    seed=seed,
                    group=conditional,
                    multivariate=True if conditional else None,  # `group` implies it, and Optuna warns of both
                )


def sampler_note(plan: Plan) -> str | None:
    """The hyperparameters that the sampler draws at random, in a sentence; None where it learns about all."""
    random = [
        name
        for name, entry in plan.search.space.items()
        if (isinstance(entry, Choices) and plan.search.sampler == "cmaes") or is_conditional(entry)
    ]
    if plan.search.sampler not in ("cmaes", "gp", "qmc") or not random:
        return None
    return f"{plan.search.sampler} learns nothing about {', '.join(random)}: drawn at random"
