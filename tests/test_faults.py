"""A search whose workers and parents are killed at random keeps every promise about its trials.

`make fault-test` does the same with many more kills.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from optuna.trial import FrozenTrial

from contracts.bundle import open_bundle
from models.search.study import RESUMES
from pipeline.dvc_cli import Forks
from tests.projects import Project
from tests.stage_process import STAGE, Process, stores_of

KILLS = int(os.environ.get("FAULT_KILLS", "2"))  # of workers
ENDS = os.environ.get("FAULT_ENDS", "KILL").split()  # the signals that end the parents, one after the other
TRIALS = 2 * KILLS + 4
ROOMS = (40_000, 200_000)[: 1 if KILLS < 3 else 2]  # bytes on a full disk: the first to need more is another one


def settle(project: Project, n_trials: int) -> None:
    """The same study for the tests of this file, with a budget."""

    def change(params: dict) -> None:
        params["search"] |= {"n_trials": n_trials, "scheduler": None}
        params["train"] |= {"epochs": 40, "patience": 40}

    project.change_params(change)


def wait_until_no_process_is_left(project: Project) -> None:
    left: list[psutil.Process] = []
    for _ in range(100):
        left = [p for p in psutil.process_iter(["cwd", "cmdline"]) if p.info["cwd"] == str(project.folder)]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"these still run, 10 s later: {[p.info['cmdline'] for p in left]}")


@pytest.mark.timeout(900)
def test_a_search_whose_processes_are_killed_at_random_reaches_its_total_and_repeats_nothing(prepared: Project) -> None:
    chance = random.Random(0)
    killed = 0

    def kill_workers(search: Process, until: int) -> None:
        nonlocal killed
        while killed < until:
            time.sleep(chance.uniform(0.1, 0.6))
            assert search.process.poll() is None, search.said()
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):  # it ended meanwhile, or none runs
                chance.choice(search.trials()).kill()
                killed += 1

    settle(prepared, TRIALS)
    before: dict[int, FrozenTrial] = {}
    stores = stores_of(prepared)
    search = Process(prepared, "0.log", *STAGE)
    for number, end in enumerate(ENDS, 1):
        search.wait_for("  trial ", times=1)
        next_one = None
        if end == "KILL":  # while a second search of the same study waits; the first one holds still until it does
            os.kill(search.process.pid, signal.SIGSTOP)
            next_one = Process(prepared, f"{number}.log", *STAGE)
            next_one.wait_for(f"is being searched by process {search.process.pid}; waiting for it to end")
            os.kill(search.process.pid, signal.SIGCONT)
        kill_workers(search, until=round(KILLS * number / len(ENDS)))
        (os.killpg if end == "INT" else os.kill)(search.process.pid, signal.Signals[f"SIG{end}"])
        code = search.process.wait(timeout=20)
        assert code == {"INT": 130, "TERM": 143, "KILL": -9}[end]
        if end != "KILL":
            assert search.said().count("what is finished is kept: the same command goes on") == 1
            assert "Traceback" not in search.said()
            stores.check_nothing_runs("KILLED")
        assert before.items() <= stores.counted().items()
        before = stores.counted()
        search = next_one or Process(prepared, f"{number}.log", *STAGE)
    assert search.process.wait(timeout=300) == 0, search.said()
    assert killed == KILLS

    stores.check_nothing_runs("FINISHED")
    finished = stores.counted()
    assert before.items() <= finished.items()
    assert len(finished) == TRIALS
    origins = Counter(trial.user_attrs.get(RESUMES, number) for number, trial in finished.items())
    assert set(origins.values()) == {1}
    stores.check_each_is_logged_once()
    failed = [trial for trial in finished.values() if trial.state.name == "FAIL"]
    assert len(failed) >= KILLS - 2 * len(ENDS)  # the others were of a search that was killed before it heard of it
    assert all("SIGKILL" in trial.user_attrs["reason"] for trial in failed)

    best = min((trial for trial in finished.values() if trial.value is not None), key=lambda trial: trial.value or 0)
    manifest, _ = open_bundle(prepared.folder / "artifacts/iris/candidates/1")
    assert manifest.trial == best.number
    assert manifest.validation["log_loss"] == best.value
    assert [path.name for path in prepared.folder.rglob("unfinished-*")] == []
    wait_until_no_process_is_left(prepared)
    print(f"{killed} workers and {len(ENDS)} parents were ended; {len(stores.trials())} trials, {len(finished)} count")


@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_full_disk_stops_the_search_and_with_room_it_goes_on(
    prepared: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """After the test above, whose study it continues on a file system of a few MB."""
    environment = prepared.environment()
    forks = Forks(str(prepared.folder), environment)
    stores = stores_of(prepared)
    var, aside = prepared.folder / "var", tmp_path / "var"
    budget = len(stores.counted()) + 2
    settle(prepared, budget)
    var.rename(aside)
    var.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(var)], check=True)
    try:
        shutil.copytree(aside, var, dirs_exist_ok=True)
        before = stores.counted()
        filler = var / "filler"
        for room in ROOMS:
            for database in var.glob("*.db"):  # or what was written ahead makes room when the search opens it
                with contextlib.closing(sqlite3.connect(database)) as connection:
                    connection.execute("pragma wal_checkpoint(truncate)")
            filler.write_bytes(bytes(shutil.disk_usage(var).free - room))
            code = forks.run(STAGE[3:], environment)
            said = capfd.readouterr().err
            assert code == 2, said
            assert len(said.strip().splitlines()) == 1, said
            assert re.search(r"the disk is full \(0\.\d MB are left", said)
            assert "free some space; finished trials are kept, and the same command continues" in said
            assert before.items() <= stores.counted().items()
            filler.unlink()
        assert forks.run(STAGE[3:], environment) == 0
        stores.check_nothing_runs("FINISHED")
        assert before.items() <= stores.counted().items()
        assert len(stores.counted()) == budget
        open_bundle(prepared.folder / "artifacts/iris/candidates/1")
    finally:
        forks.close()
        subprocess.run(["umount", "--lazy", str(var)], check=True)
