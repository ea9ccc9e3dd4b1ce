"""The output of a search: a line per trial and, in a terminal, a progress bar."""

import time
from collections import Counter
from types import TracebackType
from typing import Any

import optuna
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from contracts.errors import count
from models.search.plan import Plan
from models.search.ranking import best_trials
from models.search.study import finished_trials, seconds_searched

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


class SearchProgress:
    """Counts the finished trials of a study by state, up to its budget, and keeps the best value so far."""

    def __init__(self, plan: Plan, study: optuna.Study) -> None:
        self.plan, self.dataset, self.metric = plan, plan.dataset, plan.metric
        self.counts = Counter(STATES[trial.state.name] for trial in finished_trials(study))
        best = best_trials(study)
        self.best = best[0].values[0] if best else None
        self.already, self.before, self.began = self.counts.total(), seconds_searched(study), time.monotonic()
        self.last, self.ended = self.began, 0.0
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, get_renderable=self._live, refresh_per_second=2, transient=True)
        budget_used = f"{count(self.already, 'trial')} after {duration(self.before)} of search"
        if self._share() >= 1:
            self.console.print(f"  {plan.dataset}: the study has used its budget, {budget_used}; nothing to train")
        elif self.already:
            self.console.print(f"  {plan.dataset}: continuing a study with {count(self.already, 'finished trial')}")

    def __enter__(self) -> "SearchProgress":
        # Without a terminal the bar would be printed only once, at the end.
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = time.monotonic()
        self.live.stop()

    def trial(self, trial: optuna.Trial, state: str, result: Any, reason: str) -> None:
        self.counts["complete" if state == "duplicate" else state] += 1
        self.last = time.monotonic()
        settings = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
        if result is None:
            outcome = state if not reason else f"{state}: {reason}"
        else:
            mark = ""
            if self.best is None or self.metric.better(result.value, self.best):
                self.best, mark = result.value, " [green]best so far[/green]"
            outcome = f"{self.metric.name} {result.value:.4f}{mark} in {result.seconds:.1f} s"
        self.console.print(f"  trial {self._done()}: {outcome} ({settings})")

    def end(self, comparison: str) -> None:
        """Print the last lines: the result of the search, and where MLflow compares its best runs."""
        self.console.print(f"  {self.line()}\n  compare the best: {comparison}")

    def say(self, note: str) -> None:
        self.console.print(f"  {self.dataset}: {note}")

    def line(self) -> str:
        """The state of the search: trials done, best value, how many were pruned or failed, and the time."""
        best = "no value yet" if self.best is None else f"best {self.metric.name} {self.best:.4f}"
        ends = f"{self.counts['pruned']} pruned, {self.counts['failed']} failed"
        done = self._done()
        trials = "trial" if done in ("1", "1/1") else "trials"
        return f"{self.dataset}: {done} {trials} · {best} · {ends} · {duration(self._seconds())}"

    def left(self) -> float | None:
        """Seconds until the budget is used up; None if they cannot be estimated yet."""
        left = [] if self.plan.search.timeout is None else [self.plan.search.timeout - self._seconds()]
        here = self.counts.total() - self.already
        if self.plan.search.n_trials is not None and here:
            each = (self.last - self.began) / here
            left.append(each * (self.plan.search.n_trials - self.counts.total()) - (time.monotonic() - self.last))
        return max(0.0, min(left)) if left else None

    def _live(self) -> Table:
        left, row = self.left(), Table.grid(padding=(0, 1))
        line = self.line() if left is None else f"{self.line()} · about {duration(left)} left"
        row.add_row(" ", ProgressBar(total=1, completed=min(1.0, self._share()), width=20), line)
        return row

    def _done(self) -> str:
        total, budget = self.counts.total(), self.plan.search.n_trials
        return str(total) if budget is None or total > budget else f"{total}/{budget}"

    def _seconds(self) -> float:
        return self.before + (self.ended or time.monotonic()) - self.began

    def _share(self) -> float:
        """The share of the budget that is used up, from 0 to 1."""
        trials = self.counts.total() / self.plan.search.n_trials if self.plan.search.n_trials else 0.0
        return max(trials, self._seconds() / self.plan.search.timeout if self.plan.search.timeout else 0.0)


def duration(seconds: float) -> str:
    """Seconds in hours, minutes and seconds."""
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {round(seconds) % 60} s" if minutes else f"{seconds:.0f} s"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
