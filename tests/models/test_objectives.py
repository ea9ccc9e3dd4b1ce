"""What a trial is judged by: folds, further seeds and a second objective, from the data to the bundles."""

import csv
import sqlite3
import statistics

import mlflow
import numpy as np
import optuna
import pytest

from contracts.bundle import open_bundle
from contracts.errors import UserError
from contracts.settings.load import Params
from models.search.finalists import describe_finalist, rank_by_mean, values_of_seeds
from models.search.ranking import best_trials, pareto_front
from pipeline.data.training_data import write_training_data
from pipeline.evaluation.contest import open_contest
from pipeline.model_report import report
from pipeline.paths import Paths
from pipeline.search.plan import make_plan, present_study
from pipeline.search.train import search_and_export
from pipeline.stages import select
from pipeline.tracking import runs
from tests.models.instant import plan_of


@pytest.fixture
def searched(pool, folder, monkeypatch, tmp_path):
    """Search with these params in a store of the test's own; the study and MLflow's client."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'var/mlflow.db'}")  # MLflow sets it by itself

    def search(params: Params) -> tuple[optuna.Study, mlflow.MlflowClient, Paths]:
        paths = Paths("wine", folder)
        search_and_export(make_plan(params, paths), paths, pool)
        storage = f"sqlite:///{tmp_path / 'var/optuna.db'}"
        (name,) = optuna.get_all_study_names(storage)
        client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'var/mlflow.db'}")
        return optuna.load_study(study_name=name, storage=storage), client, paths

    return search


def test_folds_and_further_seeds_decide_the_order_of_the_bundles(searched, load) -> None:
    study, client, paths = searched(load(n_trials=2, folds=2, finalist_seeds=1))
    best = rank_by_mean(study, best_trials(study)[:2])
    assert [len(values_of_seeds(study, trial)) for trial in best] == [2, 2]
    assert statistics.fmean(values_of_seeds(study, best[0])) <= statistics.fmean(values_of_seeds(study, best[1]))
    for rank, trial in enumerate(best, 1):
        manifest, _ = open_bundle(paths.candidates / str(rank))
        assert manifest.trial == trial.number
        with (paths.candidates / str(rank) / "history.csv").open() as file:
            values = [float(row["val_log_loss"]) for row in csv.DictReader(file)]
        assert manifest.validation == {"log_loss": min(values)}
        assert values[manifest.best_epoch] == min(values)
        metrics = client.get_run(trial.user_attrs["mlflow_run_id"]).data.metrics
        assert metrics["folds.mean"] == metrics["best.val_log_loss"] == pytest.approx(trial.value)
        assert metrics["folds.spread"] == pytest.approx(statistics.stdev(metrics[f"fold.{n}"] for n in (1, 2)))
        assert metrics["seeds.mean"] == pytest.approx(statistics.fmean(values_of_seeds(study, trial)))
        assert metrics["seeds.spread"] == pytest.approx(statistics.stdev(values_of_seeds(study, trial)))


def with_memory(params: Params, gib: float) -> Params:
    return params.model_copy(update={"train": params.train.model_copy(update={"memory": gib})})


def test_a_streamed_search_samples_its_validation_rows_and_select_takes_the_same(
    searched, load, tmp_path, capsys
) -> None:
    params = with_memory(load(n_trials=2, validation_rows=20), 1e-6)
    study, _, paths = searched(params)
    assert (
        "wine: 113 encoded train rows are streamed in batches: about 5.47e-06 GiB as a whole, more than "
        "train.memory, 1e-06 GiB"
    ) in capsys.readouterr().out
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    assert len(np.load(paths.candidates / "1/conformal.npy")) == 20
    contest = open_contest(params, paths, tmp_path)
    assert contest.is_sample
    assert len(contest.validation.frame) == 20
    trained = write_training_data(paths, tmp_path, validation_rows=20, seed=params.search.seed)
    np.testing.assert_array_equal(contest.validation.rows, trained.split("validation").features)
    select.run(params, paths)
    assert "compared on a sample of 20 validation rows (search.validation_rows)" in capsys.readouterr().out


def test_trials_train_on_a_sample_and_what_is_selected_on_all_rows(searched, load, pool, tmp_path, capsys) -> None:
    params = with_memory(load(n_trials=5, keep=1, rows=7), 1e-6)
    study, client, paths = searched(params)
    said = capsys.readouterr().out
    assert "wine: trials train on 7 of 113 train rows (search.rows), the best also on more" in said
    assert [said.count(f" on {n} train rows: log_loss ") for n in (28, 113)] == [2, 1]
    manifest, _ = open_bundle(paths.candidates / "1")
    trial = study.trials[manifest.trial]
    data = write_training_data(paths, tmp_path, streams=True)
    task = make_plan(params, paths).trial_task(data, manifest.hyperparameters, manifest.seed, manifest.threads)
    pool.start(None, "train", task, tmp_path / "again.keras")
    again = pool.result()
    assert manifest.validation == {"log_loss": again.value}, "the training on all rows"
    assert manifest.best_epoch == again.best_epoch
    assert again.value != trial.value
    assert f"5/5 trials · best log_loss {again.value:.4f}" in said
    run = trial.user_attrs["mlflow_run_id"]
    assert client.get_run(run).data.metrics["train_rows"] == 113
    reached = {m.step: m.value for m in client.get_metric_history(run, "rows.val_log_loss")}
    assert sorted(reached) == [28, 113]
    assert reached[113] == again.value
    assert client.get_run(study.user_attrs["mlflow_run_id"]).data.metrics["best.val_log_loss"] == again.value
    assert report._search(paths.candidates / "trials.csv")["rows"] == (
        "Trials trained on 7 train rows, the best of them again on 28 (2), 113 (1). "
    )


def test_rows_that_bind_begin_a_study_and_refuse_another_order(folder, load) -> None:
    paths, study = Paths("wine", folder), present_study(load(), Paths("wine", folder))
    assert present_study(load(rows=113), paths) == study != present_study(load(rows=112), paths)
    assert make_plan(load(rows=113, folds=3), paths).search.folds == 3
    why = r"for wine, because search\.rows is 112 of its 113 train rows, received"
    with pytest.raises(UserError, match=rf"search\.folds: expected 1 {why} 3"):
        make_plan(load(rows=112, folds=3), paths)
    with pytest.raises(UserError, match=rf"search\.second_objective: expected none {why} parameters"):
        make_plan(load(rows=112, second_objective="parameters"), paths)


def test_where_the_rows_are_does_not_begin_a_new_study_and_other_validation_rows_do(folder, load) -> None:
    paths, params = Paths("wine", folder), load(n_trials=2)
    study = present_study(params, paths)
    assert present_study(with_memory(params, 1e-6), paths) == study
    assert present_study(load(n_trials=2, validation_rows=10_000), paths) == study
    assert present_study(load(n_trials=2, validation_rows=20), paths) != study
    assert make_plan(params, paths).streams == ""
    with pytest.raises(UserError, match=r"search\.folds: expected 1 for wine, received 3: 113 encoded train rows"):
        make_plan(with_memory(load(folds=3), 1e-6), paths)
    with pytest.raises(UserError, match=r"search\.distil: expected false for wine, received true: 113 encoded train r"):
        make_plan(with_memory(load(ensemble=2, distil=True), 1e-6), paths)
    of_numbers = params.model_copy(update={"search": params.search.model_copy(update={"metric": "rmse"})})
    with pytest.raises(UserError, match=r"\n  search\.metric: expected one of .* for multiclass, received 'rmse'"):
        make_plan(of_numbers, paths)
    with pytest.raises(UserError, match=r"an ensemble of at least 2 with distil, received ensemble: 1"):
        load(distil=True)


def test_finalists_are_ordered_by_their_mean_and_those_that_failed_come_last() -> None:
    study = optuna.create_study()
    for value in (0.1, 0.2, 0.3):
        study.add_trial(optuna.trial.create_trial(value=value))
    assert [trial.number for trial in rank_by_mean(study, study.trials)] == [0, 1, 2]
    study.set_user_attr("finalist 0", [0.5, 0.6])
    study.set_user_attr("finalist 1", [0.2, None])
    assert [trial.number for trial in rank_by_mean(study, study.trials)] == [2, 0, 1]
    said = [describe_finalist(study, trial, "log_loss") for trial in study.trials]
    assert said[0] == "trial 0: log_loss 0.4000 ± 0.26 over 3 seeds"
    assert said[1] == "trial 1: log_loss 0.2000 ± 0 over 2 seeds, 1 failed"
    upwards = optuna.create_study(direction="maximize")
    upwards.add_trials(study.trials)
    assert [trial.number for trial in rank_by_mean(upwards, upwards.trials)] == [2, 1, 0]


def test_a_test_over_folds_needs_folds_and_is_the_choice_for_many(load) -> None:
    with pytest.raises(UserError, match="folds above 1 for pruner: wilcoxon"):
        load(pruner="wilcoxon")
    assert load(pruner="wilcoxon", folds=3).search.pruner.type == "wilcoxon"
    assert plan_of(load(folds=5)).search.pruner.type == "wilcoxon"
    assert plan_of(load(folds=3)).search.pruner.type == "median"


def test_the_smallest_within_the_tolerance_of_the_best_is_taken() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for value, size in ((0.90, 500), (0.90, 400), (0.895, 50), (0.88, 10), (0.5, 60), (0.3, 5)):
        study.add_trial(optuna.trial.create_trial(values=[value, size], user_attrs={"n_parameters": size}))
    assert [trial.number for trial in pareto_front(study)] == [1, 2, 3, 5]
    assert [trial.number for trial in best_trials(study)] == [1, 2, 3, 5]
    assert [trial.number for trial in best_trials(study, tolerance=0.01)] == [2, 1, 3, 5]
    assert [trial.number for trial in best_trials(study, tolerance=0.03)][:1] == [3]


def test_the_front_of_metric_and_latency_is_in_the_table_the_picture_and_the_run(searched, load, capsys) -> None:
    study, client, paths = searched(load(n_trials=3, second_objective="latency", tolerance=0.5))
    said = capsys.readouterr().out
    kept = pareto_front(study)
    taken = best_trials(study, tolerance=0.5)[0]
    assert f"trial {taken.number} is the smallest within 50.0% of the best log_loss" in said
    with (paths.candidates / "trials.csv").open() as file:
        rows = {int(row["number"]): row for row in csv.DictReader(file)}
    assert {number for number, row in rows.items() if row["front"] == "True"} == {trial.number for trial in kept}
    assert float(rows[taken.number]["latency"]) == pytest.approx(taken.values[1])
    assert 1e-6 < taken.values[1] < 1e-2, "seconds of one row"
    assert open_bundle(paths.candidates / "1")[0].trial == taken.number
    assert (paths.search_plots / "front.png").exists()
    parent = client.get_run(study.user_attrs["mlflow_run_id"])
    assert parent.data.tags["front"] == ", ".join(str(trial.number) for trial in kept)
    logged = client.get_run(taken.user_attrs["mlflow_run_id"]).data.metrics
    assert logged["latency"] == taken.values[1]
    select.run(load(n_trials=3), paths)
    assert open_bundle(paths.bundle)[0].trial == taken.number


def test_a_store_that_refuses_entries_and_a_picture_that_fails_do_not_end_a_search(
    load, searched, tmp_path, monkeypatch, capfd
) -> None:
    runs.connect("wine")
    with sqlite3.connect(tmp_path / "var/mlflow.db") as store:
        store.execute(
            "create trigger refused before insert on metrics when new.key like 'best.%' "
            "begin select raise(abort, 'attempt to write a readonly database'); end"
        )
    monkeypatch.setattr("pipeline.search.study_plots.slices", lambda *_: 1 / 0)
    study, _, paths = searched(load(n_trials=2))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    manifest, _ = open_bundle(paths.candidates / "1")
    assert manifest.mlflow_run_id == ""
    assert {path.name for path in paths.search_plots.iterdir()} >= {"trial_history.png", "importance.png"}
    said = capfd.readouterr().err
    for missing in ("trial 0 in MLflow", "trial 1 in MLflow", "the picture slices", "the end of the study in MLflow"):
        assert f"warning: without {missing}: " in said
    assert "Traceback" not in said
