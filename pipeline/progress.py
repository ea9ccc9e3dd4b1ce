"""What a search shows while it runs: a line per trial, and a bar where there is a terminal."""

from types import TracebackType
from typing import Any

import optuna
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.metrics import Metric


class TrialProgress:
    """Counts finished trials up to the budget and knows the best so far."""

    def __init__(self, dataset: str, metric: Metric, already: int, n_trials: int, best: float | None) -> None:
        self.metric, self.best, self.n_trials, self.done = metric, best, n_trials, already
        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials ·"),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task(dataset, total=n_trials, completed=already)
        if already >= n_trials:
            self.console.print(f"  {dataset}: the study has its {already} trials already; nothing to train")
        elif already:
            self.console.print(f"  {dataset}: continuing a study with {already} finished trials")

    def __enter__(self) -> "TrialProgress":
        # Without a terminal the bar would only be printed once more at the end.
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def trial(self, trial: optuna.Trial, state: str, result: Any, reason: str) -> None:
        self.done += 1
        self.bar.advance(self.task)
        settings = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
        if result is None:
            outcome = state if not reason else f"{state}: {reason}"
        else:
            mark = ""
            if self.best is None or self.metric.better(result.value, self.best):
                self.best, mark = result.value, " [green]best so far[/green]"
            outcome = f"{self.metric.name} {result.value:.4f}{mark} in {result.seconds:.1f} s"
        self.console.print(f"  trial {self.done}/{self.n_trials}: {outcome} ({settings})")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
