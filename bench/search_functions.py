"""Every sampler on functions whose minimum is known, through the loop that searches networks.

Beale, Rosenbrock and Branin (Surjanovic and Bingham, Virtual Library of Simulation Experiments), two numbers
each. The only difference is a pool that computes a function instead of training a network.
"""

import importlib.util
import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna

from bench.instant import Instant
from contracts.metrics import Metric
from contracts.settings.load import load_params
from contracts.settings.space import FloatRange
from models.search.plan import plan_search
from models.search.ranking import best_trials
from models.search.run import run_study
from models.search.study import open_study
from models.search.trial import TrialFiles
from models.training.data import Data

TRIALS = 50
SEEDS = (1, 2, 3, 4, 5)
SAMPLERS = ("grid", "random", "qmc", "tpe", "cmaes", "gp")
STEPS = 6  # steps of the grid: 7 by 7 values, about as many as trials


@dataclass(frozen=True)
class Function:
    """A function of x and y, where it is searched, and all its minima."""

    compute: Callable[[float, float], float]
    x: tuple[float, float]
    y: tuple[float, float]
    minimum: float
    minima: tuple[tuple[float, float], ...]


def beale(x: float, y: float) -> float:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def rosenbrock(x: float, y: float) -> float:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def branin(x: float, y: float) -> float:
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


FUNCTIONS = {
    "beale": Function(beale, (-4.5, 4.5), (-4.5, 4.5), 0.0, ((3, 0.5),)),
    "rosenbrock": Function(rosenbrock, (-2.4, 2.4), (-1.2, 3.6), 0.0, ((1, 1),)),
    "branin": Function(
        branin, (-5, 10), (0, 15), 0.39788735772973816, ((-math.pi, 12.275), (math.pi, 2.275), (9.42477796, 2.475))
    ),
}


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Per function and sampler, medians over the seeds after all trials: how far the best value is above the
    minimum, and how far away from the nearest place that has it.
    """
    there = [name for name in SAMPLERS if name != "gp" or importlib.util.find_spec("torch")]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, function in FUNCTIONS.items():
        found[name] = {"scipy": _scipy(function)}
        for sampler in there:
            ends = [_search(function, sampler, seed) for seed in SEEDS]
            found[name][sampler] = {
                "above": statistics.median(value - function.minimum for value, _, _ in ends),
                "away": statistics.median(_away(function, x, y) for _, x, y in ends),
                "away_worst": max(_away(function, x, y) for _, x, y in ends),
                "trials": TRIALS,
            }
    return found


def _search(function: Function, sampler: str, seed: int) -> tuple[float, float, float]:
    params = load_params(Path("params.yaml"), "iris")
    space = {
        name: FloatRange(
            type="float", low=low, high=high, step=round((high - low) / STEPS, 9) if sampler == "grid" else None
        )
        for name, (low, high) in {"x": function.x, "y": function.y}.items()
    }  # fmt: skip
    search = params.search.model_copy(update={"n_trials": TRIALS, "sampler": sampler, "seed": seed, "space": space})
    value = Metric("value", False, lambda y, p: 0.0)
    plan = plan_search(params.model_copy(update={"search": search}), "regression", value, "function", {}, cores=1)
    study = open_study(plan, optuna.storages.InMemoryStorage())
    with tempfile.TemporaryDirectory() as folder:
        data, files = Data(Path(folder), Path()), TrialFiles(Path(folder))
        pool = Instant(lambda params: function.compute(params["x"], params["y"]))
        run_study(study, plan, data, pool, files, on_trial=lambda *_: None)  # type: ignore[arg-type]
    best = best_trials(study)[0]
    return best.values[0], best.params["x"], best.params["y"]


def _away(function: Function, x: float, y: float) -> float:
    return min(math.dist((x, y), there) for there in function.minima)


def _scipy(function: Function) -> dict[str, float]:
    """SciPy's BFGS from (4, 4), for what a gradient is worth; it counts the calls of the function."""
    from scipy.optimize import minimize

    end = minimize(lambda at: function.compute(*at), (4.0, 4.0))
    return {"above": float(end.fun) - function.minimum, "away": _away(function, *end.x), "trials": int(end.nfev)}
