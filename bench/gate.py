"""The gate between candidates and champion, simulated: how often noise is promoted, and a better model found.

Models are simulated by their predictions: the target plus an error that all models share and one of their own. The gate
is compared with an earlier rule, "any gain". Writes bench/results/gate.json. No result fails it.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import results
from bench.machine import machine
from contracts.metrics import BY_NAME
from pipeline.evaluation.comparison import compare

RESULTS = Path("bench/results/gate.json")
METRIC, CONFIDENCE, INTERVAL, TRIALS, KEPT = BY_NAME["rmse"], 0.9, 0.95, 12, 3
DRAWS, CHAINS, NIGHTS = 500, 20, 50
ROWS = (24, 100, 1_000, 10_000)
SHARED, OWN = 1.0, 0.5  # standard deviations of the shared and of the own errors


def predictions(n_rows: int, factors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Predictions of a target that is 0, a model per factor by which its errors are multiplied: (n_models, n_rows)."""
    shared = generator.normal(0, SHARED, n_rows)
    return factors[:, None] * (shared + generator.normal(0, OWN, (len(factors), n_rows)))


def promoted(champion: np.ndarray, trials: np.ndarray, seed: int) -> tuple[int | None, int | None]:
    """The trial that the gate promotes, and the one that any gain promotes."""
    y = np.zeros(champion.shape)
    values = np.sqrt(np.mean(np.square(trials), axis=1))
    ranked = np.argsort(values)[:KEPT]
    best = int(ranked[0])
    by_any_gain = best if values[best] < np.sqrt(np.mean(np.square(champion))) else None
    found = compare(METRIC, y, champion, list(trials[ranked]), 0, len(trials), CONFIDENCE, seed)
    return best if found.p_value < 1 - CONFIDENCE else None, by_any_gain


def equal_models(n_rows: int) -> dict[str, float]:
    """How often one of twelve models that are as good as the champion replaces it."""
    counts = np.zeros(2)
    for draw in track(range(DRAWS), f"equal models, {n_rows:,} rows", transient=True):
        made = predictions(n_rows, np.ones(1 + TRIALS), np.random.default_rng([n_rows, draw]))
        counts += [winner is not None for winner in promoted(made[0], made[1:], draw)]
    return dict(zip(("gate", "any_gain"), (counts / DRAWS).tolist(), strict=True))


def factor_for(theory: float, n_rows: int) -> float:
    """The factor of a better model's errors with which its own paired interval excludes 0 this often."""
    normal, generator = NormalDist(), np.random.default_rng(0)
    needed = normal.inv_cdf(0.5 + INTERVAL / 2) + normal.inv_cdf(theory)
    low, high = 0.0, 1.0
    for _ in range(30):
        factor = (low + high) / 2
        champion, better = np.square(predictions(200_000, np.array([1.0, factor]), generator))
        gain = (champion - better).mean() / (champion - better).std() * np.sqrt(n_rows)
        low, high = (factor, high) if gain > needed else (low, factor)
    return factor


def better_model(n_rows: int, theory: float) -> dict[str, float]:
    """How often the one better model among twelve replaces the champion."""
    factors = np.ones(1 + TRIALS)
    factors[1] = factor_for(theory, n_rows)
    found = 0
    for draw in track(range(DRAWS), f"a better model, {n_rows:,} rows", transient=True):
        made = predictions(n_rows, factors, np.random.default_rng([n_rows, draw, 1]))
        found += promoted(made[0], made[1:], draw)[0] == 0
    return {"error_factor": round(factors[1], 4), "theory": theory, "gate": found / DRAWS}


def nightly(n_rows: int, rule: int) -> dict[str, float]:
    """Chains of nightly searches on new rows of the same distribution: the served model's true error over the first's.

    Args:
        rule: 0 for the gate, 1 for any gain.
    """
    worst, last, replaced = [], [], 0
    for chain in track(range(CHAINS), f"{NIGHTS} nights, {n_rows:,} rows", transient=True):
        generator = np.random.default_rng([n_rows, chain, 2])
        first = served = 1.0
        chain_worst = 1.0
        for night in range(NIGHTS):
            factors = np.exp(generator.normal(0.03, 0.03, TRIALS))  # the first model was the best of its own search
            made = predictions(n_rows, np.array([served, *factors]), generator)
            winner = promoted(made[0], made[1:], night)[rule]
            if winner is not None:
                served, replaced = float(factors[winner]), replaced + 1
            chain_worst = max(chain_worst, served / first)
        worst.append(chain_worst)
        last.append(served / first)
    interval = 1 + NormalDist().inv_cdf(0.5 + INTERVAL / 2) / np.sqrt(2 * n_rows)  # of the first one's test RMSE
    return {
        "worst": float(max(worst)),
        "chains_below_interval": int(sum(value > interval for value in worst)),
        "last": float(np.median(last)),
        "replaced_per_chain": replaced / CHAINS,
        "interval": float(interval),
    }


def show(title: str, columns: tuple[str, ...], rows: list[tuple]) -> None:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    Console(width=110).print(table)


def over_rows(measure: Callable[[int], dict]) -> dict[str, dict]:
    return {str(n_rows): measure(n_rows) for n_rows in ROWS}


def main() -> None:
    settings = {"machine": machine(), "draws": DRAWS, "trials": TRIALS, "confidence": CONFIDENCE}
    report: dict = {**results.read(RESULTS), **settings}
    report["equal"] = over_rows(equal_models)
    results.write(RESULTS, report)
    show("Promoted of 500 searches whose models are as good as the champion", ("rows", "gate", "any gain"),
         [(rows, f["gate"], f["any_gain"]) for rows, f in report["equal"].items()])  # fmt: skip
    for theory in (0.5, 0.9, 0.99):
        report[f"better at {theory}"] = over_rows(lambda n_rows, theory=theory: better_model(n_rows, theory))
        results.write(RESULTS, report)
        show(f"A better model found, where its own paired {INTERVAL:.0%} interval finds {theory:.0%}",
             ("rows", "factor", "gate"),
             [(rows, f["error_factor"], f["gate"]) for rows, f in report[f"better at {theory}"].items()])  # fmt: skip
    report["nightly"] = {rule: {str(n): nightly(n, i) for n in ROWS[:3]} for i, rule in enumerate(("gate", "any_gain"))}
    show(f"{CHAINS} chains of {NIGHTS} nightly searches: the served model's error over the first one's",
         ("rule", "rows", "worst", "interval", "chains below it", "median at the end", "replaced a chain"),
         [(rule, rows, f["worst"], f["interval"], f["chains_below_interval"], f["last"], f["replaced_per_chain"])
          for rule, by_rows in report["nightly"].items() for rows, f in by_rows.items()])  # fmt: skip
    results.write(RESULTS, report)
    print(f"{RESULTS} is written")


if __name__ == "__main__":
    main()
