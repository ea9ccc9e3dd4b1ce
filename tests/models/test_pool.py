"""Jobs in processes of their own: what they report, and how they end."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.settings.load import Params, load_params
from models.search.pool import Done, Failed, Pool, Progress, Stopped
from models.search.ranking import best_trials
from models.search.study import (
    ABANDONED,
    RESUMES,
    Objective,
    abandon,
    finished_trials,
    open_study,
    run_study,
    seconds_searched,
    task_for,
    to_go_on_with,
)
from models.search.trial import TrialResult
from models.training.data import Data

REAL = Path(__file__).parent.parent.parent / "params.yaml"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(ahead=True) as made:
        yield made


def params(epochs: int = 6, **search) -> Params:
    real = load_params(REAL, "iris")
    train = real.train.model_copy(update={"epochs": epochs, "patience": epochs})
    changed = {"n_trials": 3, "warmup_epochs": 0, **search}
    return real.model_copy(update={"train": train, "search": real.search.model_copy(update=changed)})


def objective(data: Data, settings: Params) -> Objective:
    return Objective(data, "log_loss", False, settings.train)


def a_task(data: Data, **changes):
    settings = params()
    hyperparameters = {
        "depth": 1, "width": 8, "activation": "relu", "dropout": 0.0, "optimizer": "adam", "learning_rate": 0.01,
        "batch_size": 16, **changes,
    }  # fmt: skip
    return task_for(objective(data, settings), hyperparameters, seed=1, threads=1)


def follow(pool: Pool, go_on: bool = True) -> tuple[list[Progress], Done | Stopped | Failed]:
    """Answer every report, until the one job has ended."""
    reports = []
    while True:
        for event in pool.events():
            if not isinstance(event, Progress):
                return reports, event
            reports.append(event)
            pool.answer(event, go_on)


def test_a_job_reports_its_epochs_and_returns_its_result(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", a_task(data), tmp_path / "model.keras")
    reports, end = follow(pool)
    assert [report.epoch for report in reports] == list(range(6))
    assert isinstance(end, Done)
    assert isinstance(end.result, TrialResult)
    assert end.result.value == pytest.approx(min(end.result.history["val_log_loss"]))
    assert (tmp_path / "model.keras").exists()


def test_a_job_that_is_told_to_stop_stops_and_saves_nothing(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", a_task(data), tmp_path / "model.keras")
    reports, end = follow(pool, go_on=False)
    assert len(reports) == 1
    assert isinstance(end, Stopped)
    assert not (tmp_path / "model.keras").exists()


def test_a_loss_that_is_no_number_fails_with_its_reason(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", a_task(data, optimizer="sgd", learning_rate=1e30), tmp_path / "model.keras")
    _, end = follow(pool)
    assert isinstance(end, Failed)
    assert "try a lower learning rate" in end.reason


def test_a_job_whose_process_is_killed_fails_and_the_next_one_runs(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("first", "train", a_task(data), tmp_path / "first.keras")
    (running,) = pool._running.values()
    os.kill(running.process.pid, signal.SIGKILL)
    _, end = follow(pool)
    assert isinstance(end, Failed)
    assert "SIGKILL" in end.reason
    assert "memory" in end.reason  # nothing else says why the system ends a process so
    pool.start("second", "train", a_task(data), tmp_path / "second.keras")
    assert isinstance(follow(pool)[1], Done)


def test_the_next_job_finds_a_process_ready_and_one_that_was_killed_is_not_missed(
    pool: Pool, data: Data, tmp_path: Path
) -> None:
    for kills in (False, True):
        pool.start("before", "train", a_task(data), tmp_path / "before.keras")
        assert pool._spare is not None
        spare = pool._spare[1]
        if kills:
            os.kill(spare.pid, signal.SIGKILL)
            spare.join()
        assert isinstance(follow(pool)[1], Done)
        pool.start("next", "train", a_task(data), tmp_path / "next.keras")
        (running,) = pool._running.values()
        assert (running.process is spare) is not kills
        assert isinstance(follow(pool)[1], Done)


def test_a_closed_pool_leaves_no_process(data: Data, tmp_path: Path) -> None:
    with Pool(ahead=True) as pool:
        pool.start("job", "train", a_task(data), tmp_path / "model.keras")
        processes = [next(iter(pool._running.values())).process, pool._spare[1]]  # type: ignore[index]
        assert all(Path(f"/proc/{process.pid}").exists() for process in processes)
    assert not any(Path(f"/proc/{process.pid}").exists() for process in processes)


def test_a_job_that_hangs_is_ended_at_its_limit_and_another_one_is_not(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("hung", "train", a_task(data), tmp_path / "hung.keras", limit=1.5)
    (hung,) = pool._running.values()
    pool.start("fine", "train", a_task(data), tmp_path / "fine.keras", limit=60)
    ends = []
    while len(pool):
        for event in pool.events():
            match event:
                case Progress("hung"):  # whose report is never answered
                    pass
                case Progress():
                    pool.answer(event, go_on=True)
                case end:
                    ends.append(end)
    assert [type(end) for end in ends] in ([Done, Failed], [Failed, Done])
    (failed,) = (end for end in ends if isinstance(end, Failed))
    assert (failed.job, failed.reason) == ("hung", "it took longer than search.trial_timeout, 1.5 s")
    assert not Path(f"/proc/{hung.process.pid}").exists()


def test_a_network_too_large_for_the_memory_fails_as_out_of_memory(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("large", "train", a_task(data, width=2**13, depth=2), tmp_path / "model.keras")  # 256 MiB of weights
    (running,) = pool._running.values()
    used = int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(running.process.pid, resource.RLIMIT_AS, (used + 2**26, used + 2**26))
    _, end = follow(pool)
    assert isinstance(end, Failed)
    assert "memory" in end.reason


def test_a_job_ends_with_its_parent(data: Data, tmp_path: Path) -> None:
    """Or it would go on writing to the checkpoint that the next search takes over."""
    script = f"""
import sys
from models.search.pool import Pool
from tests.models.test_pool import a_task
from models.training.data import Data
from pathlib import Path
pool = Pool()
pool.start("hung", "train", a_task(Data(Path({str(data.folder)!r}), Path({str(data.schema)!r}))), Path("unused.keras"))
for event in pool.events():
    print(pool._running.popitem()[1].process.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REAL.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}")
    assert child.exists()
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not child.exists():
            return
        time.sleep(0.05)
    raise AssertionError("it still runs, 5 s after its parent was killed")


def search(pool: Pool, data: Data, storage: str, settings: Params, workers: int = 1):
    study = open_study("study", storage, settings.search, objective(data, settings))
    told: list[tuple[int, str, str]] = []
    abandon(study, "it died")
    run_study(
        study, settings.search, objective(data, settings), pool, lambda: workers, 1,
        save_to=lambda number: data.folder / f"{number}.keras",
        on_trial=lambda trial, state, result, reason: told.append((trial.number, state, reason)),
    )  # fmt: skip
    return study, told


def test_a_study_reaches_its_budget_and_a_larger_one_continues_it(pool: Pool, data: Data, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study, told = search(pool, data, storage, params(n_trials=3), workers=2)
    assert len(finished_trials(study)) == 3
    assert len(told) == 3
    study, told = search(pool, data, storage, params(n_trials=5), workers=2)
    assert len(finished_trials(study)) == 5
    assert sorted(number for number, *_ in told) == [3, 4]
    _, told = search(pool, data, storage, params(n_trials=5))
    assert told == []


def test_the_time_ends_a_search_and_more_time_continues_it(pool: Pool, data: Data, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    endless = params(epochs=10**6, n_trials=None, timeout=1.5)
    for _ in range(2):  # the second search has no time left and starts nothing
        study, told = search(pool, data, storage, endless, workers=2)
        assert told == []
        assert len(pool) == 0
        assert 1.5 <= seconds_searched(study) < 10
        assert [t.user_attrs.get(ABANDONED) for t in study.trials[:2]] == ["the time was over"] * 2
        assert [t.state.name for t in study.trials] == ["FAIL", "FAIL", "WAITING", "WAITING"]
        assert to_go_on_with(study) == {0, 1}
    study, told = search(pool, data, storage, params(n_trials=2, timeout=200.0))
    assert [trial.user_attrs[RESUMES] for trial in finished_trials(study)] == [0, 1]
    assert [trial.params for trial in study.trials[2:]] == [trial.params for trial in study.trials[:2]]
    assert seconds_searched(study) < 200
    assert to_go_on_with(study) == set()


def test_one_worker_and_one_seed_give_the_same_study(pool: Pool, data: Data, tmp_path: Path) -> None:
    values = [
        [trial.value for trial in search(pool, data, f"sqlite:///{tmp_path / name}", params(n_trials=3))[0].trials]
        for name in ("one.db", "two.db")
    ]
    assert values[0] == values[1]


def test_a_failed_trial_counts_and_the_study_goes_on(pool: Pool, data: Data, tmp_path: Path) -> None:
    space = {**params().search.space, "optimizer": "sgd", "learning_rate": 1e30}
    study, told = search(pool, data, f"sqlite:///{tmp_path / 'study.db'}", params(n_trials=2, space=space))
    assert [state for _, state, _ in told] == ["failed", "failed"]
    assert "the loss is" in told[0][2]
    assert best_trials(study, 3) == []


def test_a_trial_left_running_by_a_dead_search_is_closed_and_tried_again(
    pool: Pool, data: Data, tmp_path: Path
) -> None:
    storage, settings = f"sqlite:///{tmp_path / 'study.db'}", params(n_trials=2)
    study = open_study("study", storage, settings.search, objective(data, settings))
    left = study.ask()
    asked = left.suggest_int("width", 16, 256, log=True)
    study, _ = search(pool, data, storage, settings)
    states = [trial.state.name for trial in study.trials]
    assert "RUNNING" not in states
    assert len(finished_trials(study)) == 2
    assert study.trials[1].params["width"] == asked


def test_a_trial_that_takes_too_long_fails_alone_with_its_reason(pool: Pool, data: Data, tmp_path: Path) -> None:
    """The reason is in the study and told to the log; the next trial is asked for as ever."""
    settings = params(n_trials=2, trial_timeout=0.2)
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 10**6})})
    study, told = search(pool, data, f"sqlite:///{tmp_path / 'study.db'}", settings)
    assert [(state, reason) for _, state, reason in told] == [
        ("failed", "it took longer than search.trial_timeout, 0.2 s")
    ] * 2
    assert [trial.user_attrs["reason"] for trial in study.trials] == [told[0][2]] * 2
    assert len(finished_trials(study)) == 2


def test_ties_go_to_fewer_parameters_and_then_to_the_earlier_trial(tmp_path: Path, data: Data) -> None:
    settings = params()
    study = open_study("study", f"sqlite:///{tmp_path / 'study.db'}", settings.search, objective(data, settings))
    for value, size in ((0.5, 300), (0.5, 100), (0.5, 100), (0.7, 10)):
        trial = study.ask()
        trial.set_user_attr("n_parameters", size)
        study.tell(trial, value)
    assert [trial.number for trial in best_trials(study, 3)] == [1, 2, 0]
