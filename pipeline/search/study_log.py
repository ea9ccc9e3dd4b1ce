"""A study in MLflow: the study as parent run, each trial as child run."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from contracts.bundle import open_bundle
from models.search.duplicates import DUPLICATES
from models.search.finalists import values_of_seeds
from models.search.plan import Plan
from models.search.ranking import pareto_front
from models.search.study import abandon_running, seconds_searched
from models.search.trial import TrialResult
from pipeline.evaluation import plots
from pipeline.paths import Paths
from pipeline.search import study_plots
from pipeline.tracking import databases, runs
from pipeline.tracking.failures import optional

KINDS = {"members": "ensemble", "teachers": "distilled"}  # of a network made of others, by what they are to it


class StudyLog:
    """Logs a study to MLflow while it runs. It opens the parent run; `finish` closes it.

    When a search ends in any other way, leaving the context closes the parent run and the trials that run.
    """

    def __init__(self, plan: Plan, paths: Paths, study: optuna.Study) -> None:
        self.plan, self.paths, self.study, self.metric = plan, paths, study, plan.metric
        self.client, self.experiment = runs.connect(plan.dataset)
        known = study.user_attrs.get("mlflow_run_id")
        self.parent = runs.study_run(self.client, self.experiment, study.study_name, known)
        if self.parent != known:
            study.set_user_attr("mlflow_run_id", self.parent)

    def __enter__(self) -> "StudyLog":
        try:
            parts = {part: self.paths.prepared / f"{part}.parquet" for part in ("train", "validation")}
            files = {part: (path, self.plan.data_md5[part]) for part, path in parts.items()}
            runs.log_inputs(self.client, self.parent, files)
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            return
        # If the store has failed, the next search closes the runs that stay open.
        with contextlib.suppress(Exception):
            abandon_running(self.study, "its search was ended", self.abandoned)
        with contextlib.suppress(Exception):
            self._end("FAILED" if issubclass(kind, Exception) else "KILLED")

    def abandoned(self, number: int) -> None:
        """Mark the run of a trial as killed. It may have been logged, partly or wholly, before its search ended."""
        runs.abandon_trial(self.client, self.experiment, self.parent, number)

    def trial(self, trial: optuna.Trial, state: str, result: TrialResult | None, reason: str) -> None:
        """Log a trial that has ended, before the study knows its end, so that the study can name the run.

        If the store refuses it, a warning says so, and the search continues.
        """
        with self._optional_entry(f"trial {trial.number}"):
            self._log_trial(trial, state, result, reason)

    def _log_trial(self, trial: optuna.Trial, state: str, result: TrialResult | None, reason: str) -> None:
        metrics = {"seconds": result.seconds, "n_parameters": float(result.n_parameters)} if result else {}
        metrics |= {"train_rows": float(self.plan.fidelities[0])} if len(self.plan.fidelities) > 1 else {}
        if result:
            metrics |= {**_spread("restarts", result.values_of_restarts), **_spread("folds", result.values_of_folds)}
            metrics |= {f"fold.{number}": value for number, value in enumerate(result.values_of_folds, 1)}
            metrics |= {} if result.latency is None else {"latency": result.latency}
            metrics |= {} if result.history else {f"best.val_{self.metric.name}": result.value}
            metrics |= {f"best.{name}": values[result.best_epoch] for name, values in result.history.items()}
        elif state == "duplicate":
            earlier = self.study.get_trials(deepcopy=False)[trial.user_attrs[DUPLICATES]]
            metrics |= {f"best.val_{self.metric.name}": earlier.values[0]} if earlier.values else {}
        elif state == "pruned":
            reported = self.study._storage.get_trial(trial._trial_id).intermediate_values
            metrics |= {f"last.val_{self.metric.name}": reported[max(reported)]} if reported else {}
        assert trial.datetime_start is not None
        run = runs.log_trial(
            self.client,
            self.experiment,
            self.parent,
            name=f"trial {trial.number}",
            state=state,
            started=int(trial.datetime_start.timestamp() * 1000),
            params={**trial.user_attrs["hyperparameters"], "seed": trial.user_attrs["seed"]},
            history=result.history if result else {},
            metrics=metrics,
            tags={
                "trial.number": str(trial.number),
                "study": self.study.study_name,
                "trial.reason": reason[:4000],
                **({"trial.duplicates": str(trial.user_attrs[DUPLICATES])} if state == "duplicate" else {}),
            },
        )
        trial.set_user_attr("mlflow_run_id", run)

    def _log_pictures(self, best: FrozenTrial) -> None:
        """Draw and log the values of the trials, the importance of hyperparameters, and the values of good trials."""
        values = [
            (t.number, t.values[0], t.state.name.lower())
            for t in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            if t.values  # Optuna gives a pruned trial the value of its last report
        ]
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        metric, second = self.metric, self.plan.search.second_objective
        pictures = {
            "trial_history": lambda: study_plots.trial_history(values, metric),
            "importance": lambda: study_plots.importance(study_plots.importances(self.study), metric),
            "parallel_coordinates": lambda: study_plots.parallel_coordinates(complete, metric),
            "slices": lambda: study_plots.slices(complete, metric),
        }
        if len(self.study.directions) > 1:
            front = pareto_front(self.study)
            pictures["front"] = lambda: study_plots.front(complete, front, best, metric, second)
        folder = self.paths.search_plots
        folder.mkdir(parents=True, exist_ok=True)  # DVC expects the folder, even without a picture
        files = []
        for name, draw in pictures.items():
            with optional(f"the picture {name}"):
                files.append(plots.save(draw(), folder / f"{name}.png"))
        with self._optional_entry("the pictures of the search"):
            runs.log_files(self.client, self.parent, files)

    def finish(self, bundles: Mapping[Path, FrozenTrial]) -> None:
        """Log bundles and learning curves of the best trials, pictures and the table of all, and end the parent run."""
        best = list(bundles.values())
        self._log_pictures(best[0])
        for bundle, trial in bundles.items():
            with self._optional_entry(f"the bundle of trial {trial.number}"):
                self._log_bundle(bundle, trial)
        with self._optional_entry("the end of the study"):
            self._log_end(best)

    def _log_bundle(self, bundle: Path, trial: FrozenTrial) -> None:
        run = run_of(trial)
        if not runs.run_exists(self.client, run):
            return  # the store was emptied, or did not answer
        runs.log_files(self.client, run, sorted(bundle.iterdir()), "bundle")
        if "members" in trial.user_attrs:
            return  # a mean of networks is not trained as a whole
        history = plots.read_history(bundle / "history.csv")
        figure = plots.learning_curves(history, self.metric.name, open_bundle(bundle)[0].best_epoch)
        with tempfile.TemporaryDirectory() as folder:
            runs.log_files(self.client, run, [plots.save(figure, Path(folder) / "learning_curves.png")])

    def _log_end(self, best: list[FrozenTrial]) -> None:
        files = [self.paths.candidates / "trials.csv", self.paths.data_report]
        runs.log_files(self.client, self.parent, [file for file in files if file.exists()])
        states = [t.state.name.lower() for t in self.study.get_trials(deepcopy=False)]
        counts = {f"trials.{state}": float(states.count(state)) for state in ("complete", "pruned", "fail")}
        runs.log_metrics(
            self.client,
            self.parent,
            {f"best.val_{self.metric.name}": best[0].values[0], **counts},
            {
                "best.trial": next((KINDS[role] for role in KINDS if role in best[0].user_attrs), str(best[0].number)),
                "best.run": run_of(best[0]),
                "front": ", ".join(str(trial.number) for trial in pareto_front(self.study)),
            },
        )
        self._end("FINISHED")

    def ensemble(self, trial: FrozenTrial) -> str:
        """The run of an ensemble of trials, or of a network that imitates it; empty if MLflow refuses it. The same
        ensemble has one run.
        """
        role = next(role for role in KINDS if role in trial.user_attrs)
        kind, members = KINDS[role], trial.user_attrs[role]
        known = self.study.user_attrs.get(kind, {})
        if known.get("members") == members and runs.run_exists(self.client, known["run"]):
            return str(known["run"])
        with self._optional_entry(f"the run {kind}"):
            assert trial.datetime_start is not None
            run = runs.log_trial(
                self.client,
                self.experiment,
                self.parent,
                name=f"{kind} of {len(members)}" if kind == "ensemble" else f"{kind} from {len(members)}",
                state="complete",
                started=int(trial.datetime_start.timestamp() * 1000),
                params={f"trial {m['trial']} seed {m['seed']}": f"{m['share']:.3g}" for m in members},
                history={},
                metrics={
                    f"best.val_{self.metric.name}": trial.values[0],
                    "n_parameters": float(trial.user_attrs["n_parameters"]),
                },
                tags={"study": self.study.study_name, kind: ", ".join(str(m["trial"]) for m in members)},
            )
            self.study.set_user_attr(kind, {"members": members, "run": run})
            return run
        return ""

    def more_rows(self, trial: FrozenTrial, n_rows: int, result: TrialResult) -> None:
        """Log the value of a trial on more train rows, with the number of rows as the step."""
        with self._optional_entry(f"trial {trial.number} on {n_rows:,} train rows"):
            if runs.run_exists(self.client, run_of(trial)):
                values = {f"rows.val_{self.metric.name}": result.value, "train_rows": float(n_rows)}
                runs.log_metrics(self.client, run_of(trial), values, step=n_rows)

    def finalists(self, best: list[FrozenTrial]) -> None:
        """Log mean and standard deviation over the seeds of each finalist."""
        for trial in best:
            with self._optional_entry(f"the seeds of trial {trial.number}"):
                if runs.run_exists(self.client, run_of(trial)):
                    values = tuple(values_of_seeds(self.study, trial))
                    runs.log_metrics(self.client, run_of(trial), _spread("seeds", values))

    def comparison(self, best: list[FrozenTrial]) -> str:
        """The address at which MLflow shows the runs of these trials side by side."""
        return runs.comparison(self.experiment, [run_of(trial) for trial in best])

    def share_view(self) -> str:
        """The address at which MLflow shows all trials, the best first."""
        return runs.share_trials_view(self.client, self.experiment, self.metric.name, self.metric.higher_is_better)

    @contextlib.contextmanager
    def _optional_entry(self, what: str) -> Iterator[None]:
        with optional(f"{what} in MLflow"):
            if runs.tracking_uri().startswith("http"):  # a server that is gone: MLflow would try for minutes
                databases.check_usable(runs.tracking_uri(), "MLFLOW_TRACKING_URI", table="experiments")
            yield

    def _end(self, status: str) -> None:
        runs.end_study_run(self.client, self.parent, status, seconds_searched(self.study))


def run_of(trial: FrozenTrial) -> str:
    """The run of a trial in MLflow; empty if MLflow refused it."""
    return str(trial.user_attrs.get("mlflow_run_id", ""))


def _spread(name: str, values: tuple[float, ...]) -> dict[str, float]:
    """Mean and standard deviation of several values; nothing for one."""
    if len(values) < 2:
        return {}
    return {f"{name}.mean": float(np.mean(values)), f"{name}.spread": float(np.std(values, ddof=1))}
