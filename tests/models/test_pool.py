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

from models.search.pool import Done, Failed, Pool, Progress, Stopped
from models.search.trial import TrialResult
from models.training.data import Data
from tests.models.test_search import a_task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(ahead=True) as made:
        yield made


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
from tests.models.test_search import a_task
from models.training.data import Data
from pathlib import Path
pool = Pool()
pool.start("hung", "train", a_task(Data(Path({str(data.folder)!r}), Path({str(data.schema)!r}))), Path("unused.keras"))
for event in pool.events():
    print(pool._running.popitem()[1].process.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
