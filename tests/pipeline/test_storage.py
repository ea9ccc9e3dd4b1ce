"""A store that cannot be used is reported in one message, and not changed."""

import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy

from contracts.errors import UserError
from pipeline.search.studies import create_storage
from pipeline.tracking import databases
from pipeline.tracking.locks import study_lock


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def noise(content: bytes) -> bytes:
    return random.Random(0).randbytes(len(content))


@pytest.mark.parametrize("damage", [truncated, noise])
def test_a_damaged_study_database_is_refused_with_advice_and_not_changed(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "optuna.db"
    address = f"sqlite:///{path}"
    databases.check_usable(address, "OPTUNA_STORAGE", "studies")  # none is there yet
    optuna.create_study(storage=address)
    databases.check_usable(address, "OPTUNA_STORAGE", "studies")
    path.write_bytes(damage(path.read_bytes()))
    damaged = path.read_bytes()
    with pytest.raises(UserError, match=f"{path} is damaged .* set it aside with `mv {path} {path}.damaged`"):
        databases.check_usable(address, "OPTUNA_STORAGE", "studies")
    assert path.read_bytes() == damaged


def test_a_search_waits_for_the_disk_at_checkpoints_only_and_keeps_its_commits(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    storage = create_storage(f"sqlite:///{path}")
    optuna.create_study(study_name="kept", storage=storage)
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 1
        assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
    assert optuna.get_all_study_names(f"sqlite:///{path}") == ["kept"]


def test_a_database_that_another_process_writes_to_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    optuna.create_study(storage=f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        other.execute("insert into studies (study_name) values ('x')")
        databases.check_usable(f"sqlite:///{path}", "OPTUNA_STORAGE", "studies")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql://someone:secret@127.0.0.1:9/studies", "OPTUNA_STORAGE: .*127.0.0.1:9/studies cannot be used: "),
        ("mysql://someone:secret@127.0.0.1/studies", "OPTUNA_STORAGE names .* whose driver is missing .*: install it"),
        ("nonsense://someone:secret@x", "OPTUNA_STORAGE: expected the address of a database"),
        ("http://someone:secret@127.0.0.1:9", "no MLflow server answers at http://127.0.0.1:9 .*nothing was run"),
    ],
)
def test_a_store_that_cannot_be_reached_is_reported_without_its_password(address: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        databases.check_usable(address, "OPTUNA_STORAGE", "studies")
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_an_mlflow_server_that_does_not_know_its_name_is_told_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(url: str, timeout: float) -> SimpleNamespace:
        refused = "Invalid Host header - possible DNS rebinding attack detected"  # MLflow 3.17
        return SimpleNamespace(status_code=200 if url.endswith("/health") else 403, text=refused)

    monkeypatch.setattr("requests.get", answer)
    with pytest.raises(UserError, match=r"start it with `--allowed-hosts mlflow\.example\.org:5000`; nothing was run"):
        databases.check_usable("http://me:secret@mlflow.example.org:5000", "MLFLOW_TRACKING_URI", "experiments")


def test_a_user_who_may_not_create_tables_gets_the_statement_that_grants_it(postgresql) -> None:
    owner = postgresql.get_uri("optuna")
    databases.check_usable(owner, "OPTUNA_STORAGE", "studies")
    guest = owner.replace("postgres:@", "guest:@")
    with pytest.raises(UserError, match=r"'guest' may not create tables in .*grant create on schema public to guest"):
        databases.check_usable(guest, "OPTUNA_STORAGE", "studies")
    postgresql.psql("grant create on schema public to guest")  # in the database `postgres`
    databases.check_usable(guest.replace("/optuna?", "/postgres?"), "OPTUNA_STORAGE", "studies")


def test_a_study_in_postgresql_is_locked_for_one_search_at_a_time(postgresql, capsys: pytest.CaptureFixture) -> None:
    address = postgresql.get_uri("optuna")
    got = threading.Event()

    def second() -> None:
        with study_lock(address, "study"):
            got.set()

    with study_lock(address, "study"):
        with study_lock(address, "another study"):  # is not locked
            pass
        assert capsys.readouterr().out == ""
        other = threading.Thread(target=second)
        other.start()
        assert not got.wait(1)
        assert "study is being searched by search " in capsys.readouterr().out
    assert got.wait(10)
    other.join()


def test_ctrl_c_while_a_connection_is_given_back_is_no_stack_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'runs.db'}")

    @sqlalchemy.event.listens_for(engine, "reset")
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), engine.connect():
        pass
    assert not caplog.records
