"""What several test files of the pipeline share: a folder for a project, and a database."""

import sqlite3
from pathlib import Path

import pytest

from contracts.settings.source import Source
from pipeline.sources.own_table import read_source
from tests.pipeline import streamed

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an empty catalog."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "spaces.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text().replace("- digits\n- diabetes\n", ""))
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/iris.yaml").write_text("data: {source: scikit-learn, task: multiclass}\n")
    return tmp_path


@pytest.fixture
def database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite database with the table `visits`, whose address VISITS holds."""
    path = folder / "visits.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table visits (age integer, paid numeric, day text, again integer)")
        rows = [(20 + i % 40, i / 4 if i % 5 else None, f"2024-01-{1 + i % 28:02}", i % 2) for i in range(60)]
        connection.executemany("insert into visits values (?, ?, ?, ?)", rows)
    monkeypatch.setenv("VISITS", f"sqlite:///{path}")
    return path


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The table of a file with this content, and what was found in it."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def reads(content: bytes | str, name: str = "rows.csv", target: str = "y", **settings):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_source(Source(source=name, target=target, **settings))[:2]

    return reads


@pytest.fixture
def small_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few rows, so that small tables are streamed in many."""
    for module in ("pipeline.tables", "pipeline.sources.streaming.parquet"):
        monkeypatch.setattr(f"{module}.BATCH", streamed.BATCH)
    monkeypatch.setattr("pipeline.sources.streaming.text.BLOCK", 20_000)
    monkeypatch.setattr("pipeline.stages.preprocess.check_stream", lambda *_: None)  # no table is that small


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """preprocess without its data report, which takes longer than the rest."""
    monkeypatch.setattr("pipeline.stages.preprocess.write_report", lambda *_: [])
