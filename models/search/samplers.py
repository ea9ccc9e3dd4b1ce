"""What is tried next."""

import warnings

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, BruteForceSampler, RandomSampler

from contracts.settings.load import Choices, Search
from contracts.settings.space import Distribution
from models.search.configurations import default_configuration, n_configurations
from models.search.suggest import suggest

GENERATIONS = 1000  # trials: twenty generations of fifty


class Grid(BruteForceSampler):
    """Every configuration once, in an order that the seed decides, whatever has conditions.

    Optuna's GridSampler knows no conditions, and its brute force stops the loop of `optimize` when nothing
    is left, which ours is not: `run_study` counts instead.
    """

    def after_trial(self, *_: object) -> None:
        pass


class Cmaes(optuna.samplers.CmaEsSampler):
    """Learns about the ranges that are always asked for.

    Left to itself it takes those of all trials so far, whose number falls when conditions hold for the
    first time, and then fails on generations of different sizes.
    """

    space: dict[str, BaseDistribution]

    def infer_relative_search_space(self, *_: object) -> dict[str, BaseDistribution]:
        return self.space


def sampler_of(search: Search, n_trials: int) -> BaseSampler:
    """Optuna's sampler of that name.

    Args:
        n_trials: that the study has already: it must not draw the same random numbers once more.
    """
    seed = search.seed + n_trials
    at_random = RandomSampler(seed=seed)
    conditional = any(_comes_and_goes(entry) for entry in search.space.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match chosen(search):
            case "grid":
                return Grid(seed=seed)
            case "random":
                return at_random
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=seed)
            case "cmaes":
                sampler = Cmaes(
                    seed=seed, independent_sampler=at_random, warn_independent_sampling=False, with_margin=True
                )
                sampler.space = _always_there(search)
                return sampler
            case "qmc":  # a sequence, which goes on where it was
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
                    multivariate=True if conditional else None,  # with groups always, which it would else warn of
                )


def chosen(search: Search) -> str:
    """What `auto` stands for: every configuration where the budget has room for all of them, else TPE; with
    two objectives NSGA-II where the budget has room for many of its generations.
    """
    if search.sampler != "auto":
        return search.sampler
    n = None if search.n_trials is None else n_configurations(search.space, search.n_trials)
    if n is not None:
        return "grid"
    several = search.second_objective != "none"
    return "nsga2" if several and (search.n_trials or 0) >= GENERATIONS else "tpe"


def notes(search: Search) -> list[str]:
    """What is to be said about a sampler that learns about some hyperparameters only."""
    name = chosen(search)
    drawn = [
        hyperparameter
        for hyperparameter, entry in search.space.items()
        if (isinstance(entry, Choices) and name == "cmaes") or _comes_and_goes(entry)
    ]
    if name not in ("cmaes", "gp", "qmc") or not drawn:
        return []
    return [f"{name} learns nothing about {', '.join(drawn)}: drawn at random"]


def _always_there(search: Search) -> dict[str, BaseDistribution]:
    trial = optuna.trial.FixedTrial(default_configuration(search.space))
    suggest(trial, search.space)
    return {
        name: distribution
        for name, distribution in sorted(trial.distributions.items())
        if name in search.space
        and not _comes_and_goes(search.space[name])
        and not isinstance(distribution, CategoricalDistribution)
        and not distribution.single()
    }


def _comes_and_goes(entry: object) -> bool:
    """Whether it is asked for in some trials only."""
    return isinstance(entry, Distribution) and (bool(entry.when) or getattr(entry, "layers", "equal") != "equal")
