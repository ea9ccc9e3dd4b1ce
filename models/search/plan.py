"""The plan of a search, decided before it starts: settings and data together, without any `auto`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.metrics import Metric
from contracts.settings.pruners import Halving, Median, Plain, Pruner, Wilcoxon
from contracts.settings.sections import Params, Search, Source, Train
from models.search.space import count_configurations
from models.search.trial import TrialTask
from models.training.data import Data

MANY_TRIALS = 100  # from here on Hyperband's brackets have enough trials each
MANY_GENERATIONS = 1000  # trials: twenty generations of NSGA-II, fifty trials each
MOST_COUNTED = 100_000  # configurations that are counted at most, to know when all have been tried
STEPS, MOST_STEPS = 128, 10_000  # steps: about 128 in an epoch, at most 10,000 in a training
SMALLEST_BATCH, LARGEST_BATCH = 32, 256
FEWEST_EPOCHS, MOST_EPOCHS = 50, 200
FACTOR = 4  # a quarter of the trials gets four times the rows, so that each round costs about the same
REPORTS = 20  # reports of a trial at most: a report costs more than a small epoch


@dataclass(frozen=True)
class Plan:
    """What a study tries, how it judges, when it ends, and where its trials run.

    `study` is its name in Optuna's storage. `data_md5` holds the digest of each prepared part. `bins` is how many
    intervals are fitted for each number. `search` has the sampler and the pruner that `auto` stands for.
    `n_configurations` is how many different ones the space has, None where they cannot be counted. `workers` train at
    the same time on this machine, each with the same number of `threads`. `streams` says why train rows are read from a
    stream; empty where they are in memory. `n_rows` is the number of train rows.
    """

    dataset: str
    study: str
    task: str
    source: Source
    bins: int
    data_md5: Mapping[str, str]
    metric: Metric
    train: Train
    search: Search
    n_configurations: int | None
    workers: int
    threads: int
    streams: str = ""
    n_rows: int = 0

    @property
    def report_every(self) -> int:
        """Epochs from one report of a trial to the next."""
        return max(1, self.epochs // REPORTS)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The names of what is optimised, the metric first."""
        return (self.metric.name, *([] if self.search.second_objective == "none" else [self.search.second_objective]))

    @property
    def epochs(self) -> int:
        """The most epochs of a training."""
        assert self.train.epochs != "auto", "the plan has decided"
        return self.train.epochs

    @property
    def warmup(self) -> int:
        """The first step, an epoch or a fold, after which a trial may be pruned."""
        return self.search.warmup_epochs if self.search.folds == 1 else 0

    @property
    def fidelities(self) -> tuple[int, ...]:
        """The numbers of train rows of each round: all trials train on the first, the best also on the others."""
        rows = [self.search.rows or self.n_rows]
        if rows[0] >= self.n_rows:
            return (self.n_rows,)
        while rows[-1] * FACTOR**2 <= self.n_rows:
            rows.append(rows[-1] * FACTOR)
        return (*rows, self.n_rows)

    def limit(self, n_rows: int) -> float | None:
        """Seconds after which a training on `n_rows` rows is ended; the limit grows with the rows."""
        timeout = self.search.trial_timeout
        return timeout and timeout * n_rows / self.fidelities[0] if n_rows else timeout

    def seed_of(self, trial: int) -> int:
        """A seed of its own for every trial, the same whenever it is trained again."""
        return self.search.seed + trial

    def trial_task(
        self, data: Data, hyperparameters: dict[str, Any], seed: int, threads: int = 0, checkpoint: Path | None = None
    ) -> TrialTask:
        """What a worker process trains.

        Args:
            threads: those of the plan unless given.
        """
        return TrialTask(
            data=data,
            hyperparameters=hyperparameters,
            seed=seed,
            monitor=self.metric.name,
            higher_is_better=self.metric.higher_is_better,
            train=self.train,
            report_every=self.report_every,
            threads=threads or self.threads,
            checkpoint=checkpoint,
            folds=self.search.folds,
            reports_mean=not isinstance(self.search.pruner, Wilcoxon),
            measures_latency=self.search.second_objective == "latency",
        )


def plan_search(
    settings: Params, task: str, metric: Metric, study: str, data_md5: Mapping[str, str], cores: int, n_rows: int = 0
) -> Plan:
    """The plan of one search over `n_rows` train rows. Its workers share the `cores` of this machine."""
    search = settings.search
    workers = cores if search.workers == "auto" else search.workers
    n_configurations = count_configurations(search.space, search.n_trials or MOST_COUNTED)
    resolved = {"sampler": resolve_sampler(search, n_configurations), "pruner": resolve_pruner(search)}
    return Plan(
        dataset=settings.dataset,
        study=study,
        task=task,
        source=settings.source,
        bins=settings.bins_for(n_rows),
        data_md5=data_md5,
        metric=metric,
        train=settings.train.model_copy(update={"epochs": resolve_epochs(settings.train, n_rows)}),
        search=search.model_copy(update=resolved),
        n_configurations=n_configurations,
        workers=workers,
        threads=max(1, cores // workers),
        n_rows=n_rows,
    )


def batch_size_for(n_rows: int) -> int:
    """The power of two with which an epoch of `n_rows` train rows has about `STEPS` steps, within limits."""
    nearest = 2 ** round(math.log2(max(n_rows, 1) / STEPS))
    return int(min(max(nearest, SMALLEST_BATCH), LARGEST_BATCH))


def resolve_epochs(train: Train, n_rows: int) -> int:
    """The epochs of `auto`: fewer if each has many steps, so that a slow trial does not hold up the search."""
    if train.epochs != "auto":
        return train.epochs
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, MOST_STEPS * batch_size_for(n_rows) // max(n_rows, 1)))


def resolve_sampler(search: Search, n_configurations: int | None) -> str:
    """The sampler of `auto`: a grid if `n_trials` covers every configuration, else TPE; with two objectives NSGA-II if
    `n_trials` covers many of its generations.
    """
    if search.sampler != "auto":
        return search.sampler
    if n_configurations is not None and search.n_trials is not None:
        return "grid"
    if search.second_objective != "none" and (search.n_trials or 0) >= MANY_GENERATIONS:
        return "nsga2"
    return "tpe"


def resolve_pruner(search: Search) -> Pruner:
    """The pruner of `auto`: Wilcoxon's test for five folds or more, Hyperband for many trials, else the median.

    With Optuna's TPE, Hyperband is the pruner that its authors' benchmarks favour; but each of its brackets learns from
    its own trials alone, so that it needs many.
    """
    if search.pruner != Plain(type="auto"):
        return search.pruner
    if search.second_objective != "none":
        return Plain(type="none")
    if search.folds > 1:  # with three no p is below 0.1, with four only if all agree
        return Wilcoxon(type="wilcoxon") if search.folds >= 5 else Median(type="median")
    if search.n_trials is not None and search.n_trials < MANY_TRIALS:
        return Median(type="median")
    return Halving(type="hyperband")
