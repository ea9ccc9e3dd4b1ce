"""Several jobs of a pool and their results in order, a fork server that a forked process inherits, and a signal."""

import subprocess
import sys

import psutil
import pytest

from models.search.workers.pool import JobFailed, Pool
from tests.models.test_pool import JOBS, ROOT


def test_jobs_run_side_by_side_and_their_results_come_in_order() -> None:
    with Pool(JOBS, workers=2) as pool:
        spans = pool.results("span", [(0.6,), (0.2,), (0.1,)])
        starts, ends = zip(*spans, strict=True)
        assert [end - start >= seconds for (start, end), seconds in zip(spans, (0.6, 0.2, 0.1), strict=True)] == [
            True
        ] * 3
        assert starts[1] < ends[0], "the second does not wait for the first"
        assert starts[2] > min(ends[:2]), "the third waits for room"
        with pytest.raises(JobFailed, match="no room"):
            pool.results("fail", [("no room",)])


SCRIPT = f"""
import os, signal
from multiprocessing import forkserver
from models.search.workers import process
from models.search.workers.pool import Pool
process.start_fork_server({JOBS!r})
server = forkserver._forkserver._forkserver_pid
if child := os.fork():
    os.waitpid(child, 0)
else:
    process.inherit_fork_server()
    with Pool({JOBS!r}) as pool:
        (imported_by, job), = pool.results("imported_by", [()])
        print(imported_by == server != job, flush=True)
        os.kill(server, signal.SIGKILL)
        while process.psutil.Process(server).status() != "zombie":
            pass
        (imported_by, job), = pool.results("imported_by", [()])
        print(imported_by not in (server, job), flush=True)
"""


def test_a_forked_process_uses_the_server_of_its_parent_and_starts_one_where_that_died() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr


INTERRUPTED = f"""
import os, signal, threading, time
from multiprocessing import forkserver
from models.search.workers.pool import Pool
connect = forkserver.connect_to_new_process
def interrupted(*arguments):
    connected = connect(*arguments)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    return connected
with Pool({JOBS!r}) as pool:
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # it takes a signal that is blocked here
    forkserver.connect_to_new_process = interrupted
    try:
        pool.start(None, "pid")
    except KeyboardInterrupt:
        print("interrupted")
    forkserver.connect_to_new_process = connect
    print(len(pool.results("pid", [()])))
"""


def test_an_interrupt_while_a_job_is_forked_waits_until_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["interrupted", "1"], "")


def test_a_process_that_ends_before_its_pool_is_closed_ends_its_jobs() -> None:
    script = f"""
import signal, sys
from models.search.workers import process
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as the process ignores it that runs the stages of `make repro`
process.start_fork_server({JOBS!r})
connection, job = process.fork()
print(job.pid, flush=True)
sys.exit(3)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert not psutil.pid_exists(int(ended.stdout))
