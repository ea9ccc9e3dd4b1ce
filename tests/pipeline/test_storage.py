"""Stores that cannot be used are told in one message, and are not touched."""

import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from contracts.errors import UserError
from pipeline.tracking import databases
from pipeline.tracking.locks import study_lock


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def noise(content: bytes) -> bytes:
    return random.Random(0).randbytes(len(content))


@pytest.mark.parametrize("damage", [truncated, noise])
def test_a_damaged_study_database_is_refused_with_a_way_out_and_not_changed(
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


def test_a_database_that_another_process_writes_to_is_not_called_damaged(tmp_path: Path) -> None:
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
def test_a_store_that_cannot_be_reached_is_told_without_its_password(address: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        databases.check_usable(address, "OPTUNA_STORAGE", "studies")
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_user_without_the_right_to_create_tables_is_told_what_to_grant(postgresql) -> None:
    owner = postgresql.get_uri("optuna")
    databases.check_usable(owner, "OPTUNA_STORAGE", "studies")
    guest = owner.replace("postgres:@", "guest:@")
    with pytest.raises(UserError, match=r"'guest' may not create tables in .*grant create on schema public to guest"):
        databases.check_usable(guest, "OPTUNA_STORAGE", "studies")
    postgresql.psql("grant create on schema public to guest")  # in the database `postgres`
    databases.check_usable(guest.replace("/optuna?", "/postgres?"), "OPTUNA_STORAGE", "studies")


def test_a_study_in_postgresql_is_held_for_one_search_at_a_time(postgresql, capsys: pytest.CaptureFixture) -> None:
    address = postgresql.get_uri("optuna")
    got = threading.Event()

    def second() -> None:
        with study_lock(address, "study"):
            got.set()

    with study_lock(address, "study"):
        with study_lock(address, "another study"):  # is nobody's
            pass
        assert capsys.readouterr().out == ""
        other = threading.Thread(target=second)
        other.start()
        assert not got.wait(1)
        assert "study is being searched by search " in capsys.readouterr().out
    assert got.wait(10)
    other.join()
