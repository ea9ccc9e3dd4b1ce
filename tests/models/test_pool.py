"""Jobs in processes of their own: what they report, how they end, and what they leave behind."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from models.search.workers.events import Done, Failed, Progress, Stopped
from models.search.workers.pool import JobFailed, Pool
from models.search.workers.process import start_fork_server

ROOT = Path(__file__).parents[2]
JOBS = "tests.models.jobs"


@pytest.fixture(scope="module", autouse=True)
def _fork_server_of_these_tests() -> Iterator[None]:
    """The one of other tests, with TensorFlow, is used and kept; but they cannot use one without."""
    server = forkserver._forkserver  # type: ignore[attr-defined]
    ours = server._forkserver_pid is None
    yield
    if ours:
        server._stop()  # as CPython's own tests do


@pytest.fixture(scope="module")
def pool(_fork_server_of_these_tests: None) -> Iterator[Pool]:
    with Pool(JOBS) as made:
        yield made


@pytest.fixture
def ahead(_fork_server_of_these_tests: None) -> Iterator[Pool]:
    with Pool(JOBS, ahead=True) as made:
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


def first_report(pool: Pool) -> Progress:
    return next(event for event in pool.events() if isinstance(event, Progress))


def ends_within(seconds: float, process: int) -> bool:
    for _ in range(int(seconds / 0.05)):
        if not psutil.pid_exists(process):
            return True
        time.sleep(0.05)
    return False


def test_a_job_reports_its_epochs_and_returns_its_result(pool: Pool) -> None:
    pool.start("job", "report", [0.5, 0.25])
    assert follow(pool) == ([Progress("job", 0, 0.5), Progress("job", 1, 0.25)], Done("job", [0.5, 0.25]))
    assert len(pool) == 0


def test_each_job_has_a_process_of_its_own(pool: Pool) -> None:
    processes = set()
    for _ in range(3):
        pool.start("job", "pid")
        processes.add(pool.result())
    assert len(processes | {os.getpid()}) == 4


def test_a_job_that_may_not_go_on_stops(pool: Pool) -> None:
    pool.start("job", "report", [0.5, 0.25])
    assert follow(pool, go_on=False) == ([Progress("job", 0, 0.5)], Stopped("job"))


def test_a_job_that_raises_fails_with_its_reason(pool: Pool) -> None:
    pool.start("job", "fail", "a lower learning rate")
    assert follow(pool) == ([], Failed("job", "ValueError: a lower learning rate"))
    pool.start("job", "fail", "a lower learning rate")
    with pytest.raises(JobFailed, match="a lower learning rate"):
        pool.result()


def test_a_job_whose_process_is_killed_fails_and_the_next_one_runs(pool: Pool) -> None:
    pool.start("first", "report_pid_and_sleep", 60)
    os.kill(int(first_report(pool).value), signal.SIGKILL)
    _, end = follow(pool)
    assert isinstance(end, Failed)
    assert "SIGKILL" in end.reason
    assert "memory" in end.reason  # nothing else says why the system kills a process
    pool.start("second", "report", [])
    assert follow(pool)[1] == Done("second", [])


@pytest.mark.parametrize("killed", [False, True])
def test_the_next_job_runs_in_the_process_that_waits_for_it_unless_that_was_killed(ahead: Pool, killed: bool) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    ahead.start("first", "report_pid_and_sleep", 0)
    first = first_report(ahead)
    (waits,) = {p.pid for p in psutil.Process().children(recursive=True)} - before - {int(first.value)}
    if killed:
        os.kill(waits, signal.SIGKILL)
        assert ends_within(5, waits)
    ahead.answer(first, go_on=True)
    assert isinstance(follow(ahead)[1], Done)
    ahead.start("next", "pid")
    assert (ahead.result() == waits) is not killed


def test_jobs_share_one_import_of_their_module_also_in_a_folder_without_it(tmp_path: Path) -> None:
    code = f"""
        import os, sys
        sys.path[0] = {str(ROOT)!r}
        from models.search.workers.pool import Pool
        with Pool({JOBS!r}) as pool:
            for _ in range(2):
                pool.start(None, "imported_by")
                print(*pool.result())
        print(*sorted(os.environ))
        """
    (tmp_path / "models").mkdir()  # which hides the project's where a process looks in its folder first
    (tmp_path / "models/__init__.py").touch()
    environment = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    (server, first), (again, second), variables = (line.split() for line in done.stdout.splitlines())
    assert server == again
    assert len({server, first, second}) == 3
    assert not {"PYTHONPATH", "PYTHONSAFEPATH"} & set(variables)


def test_pools_that_start_at_once_leave_the_environment_as_it_was(pool: Pool) -> None:
    """As in a worker of a cluster that trains several trials."""
    before = dict(os.environ)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start_fork_server, [JOBS] * 400))
    assert dict(os.environ) == before


def test_a_closed_pool_leaves_no_process() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with Pool(JOBS, ahead=True) as pool:
        pool.start("job", "report_pid_and_sleep", 60)
        first_report(pool)
        assert len({process.pid for process in psutil.Process().children(recursive=True)} - before) == 2
        assert pool.close() == ["job"]
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before


def test_a_job_that_hangs_is_ended_at_its_limit_and_another_one_is_not(pool: Pool) -> None:
    pool.start("hung", "report_pid_and_sleep", 60, limit=1)
    hung = first_report(pool)  # which is never answered
    pool.start("fine", "report", [0.5], limit=60)
    ends = [follow(pool)[1] for _ in range(2)]
    assert Done("fine", [0.5]) in ends
    assert Failed("hung", "it took longer than search.trial_timeout, 1 s") in ends
    assert not psutil.pid_exists(int(hung.value))


def test_a_job_that_needs_more_memory_than_there_is_fails_as_out_of_memory(pool: Pool) -> None:
    pool.start("large", "allocate", 2**28)
    report = first_report(pool)
    process = int(report.value)
    used = int(Path(f"/proc/{process}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process, resource.RLIMIT_AS, (used + 2**26, used + 2**26))
    pool.answer(report, go_on=True)
    _, end = follow(pool)
    assert isinstance(end, Failed)
    assert end.reason.startswith("out of memory: ")


SCRIPT = f"""
import sys
from models.search.workers.pool import Pool
from models.search.workers.temporary import use_own_folder
print(use_own_folder(), flush=True)
with Pool({JOBS!r}) as pool:
    pool.start("job", "leave_a_file_and_sleep", 60)
    print(*[int(event.value) for event in pool.events()], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start_search(tmp_path_factory: pytest.TempPathFactory):
    """Start a process with a job that has left a file; the process, its own folder, and the job's process."""
    home = tmp_path_factory.mktemp("t")  # short: a socket's path has at most 108 characters
    started = []

    def start() -> tuple[subprocess.Popen, Path, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], cwd=ROOT, env={**os.environ, "TMPDIR": str(home)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        folder, job = Path(process.stdout.readline().strip()), int(process.stdout.readline())
        assert folder.parent == home
        assert len(list(folder.glob("left-behind-*"))) == 1
        assert len(list(folder.glob("pymp-*"))) == 1
        return process, folder, job

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_ends_with_its_parent(start_search) -> None:
    """Or it would go on writing to the checkpoint that the next search takes over."""
    process, _, job = start_search()
    process.kill()
    process.wait()
    assert ends_within(5, job)


def test_temporary_files_go_with_the_search_and_those_of_a_killed_one_with_the_next(start_search) -> None:
    killed, left, _ = start_search()
    runs, used, _ = start_search()
    assert left.exists(), "its search runs"
    killed.kill()
    killed.wait()
    assert left.exists()
    (foreign := left.with_name("mlp-search-notes")).mkdir()
    last, folder, _ = start_search()
    assert not left.exists()
    assert used.exists()
    for process in (runs, last):
        process.communicate("")
        assert process.returncode == 0
    assert list(folder.parent.iterdir()) == [foreign]
