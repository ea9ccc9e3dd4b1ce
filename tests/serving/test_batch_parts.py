"""Predictions for a folder of parts."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bento_servers import ROOT
from bundles import TICKETS, make_bundle
from request_bodies import GOOD

from contracts.files import md5
from contracts.schema import DateFeature, NumericFeature
from serving.batch.__main__ import main
from serving.batch.file import predict_file
from serving.batch.parts import COMMIT


@pytest.fixture
def bundle(bundles: Path) -> Path:
    return bundles / "tickets"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Three parts: Parquet, text, and Parquet without rows; and a file that no reader of folders takes for a part."""
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = pd.DataFrame([GOOD | {"age": float(n % 80)} for n in range(300)])
    rows[:200].to_parquet(folder / "part-0.parquet", index=False)
    rows[200:].to_csv(folder / "part-1.csv", index=False)
    rows[:0].astype({"port": str, "deck": str}).to_parquet(folder / "part-2.parquet", index=False)
    (folder / "_SUCCESS").touch()
    return folder


def predict(capsys: pytest.CaptureFixture[str], *arguments: Path) -> str:
    """What the command prints, of its errors if it fails."""
    failed = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return err if failed else out


def test_a_folder_of_parts_gets_the_predictions_of_its_files(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(capsys, bundle, parts, out) == f"300 rows of 3 parts predicted, 0 warnings: {out}\n"
    commit = json.loads((out / COMMIT).read_text())
    assert [(part["part"], part["rows"]) for part in commit["parts"]] == [
        ("part-0.parquet", 200), ("part-1.csv", 100), ("part-2.parquet", 0),
    ]  # fmt: skip
    assert commit["rows"] == len(pd.read_parquet(out)) == 300
    predict_file(bundle, parts / "part-1.csv", tmp_path / "one.parquet")
    assert pd.read_parquet(out / "part-1.csv.parquet").equals(pd.read_parquet(tmp_path / "one.parquet"))


def test_a_finished_part_stays_until_its_rows_or_the_model_change(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    predict(capsys, bundle, parts, out)
    written = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    pd.DataFrame([GOOD] * 7).to_csv(parts / "part-1.csv", index=False)
    assert "207 rows of 3 parts predicted, 2 of them before this run" in predict(capsys, bundle, parts, out)
    assert {name for name, at in written.items() if (out / name).stat().st_mtime_ns == at} == {
        "part-0.parquet", "part-2.parquet",
    }  # fmt: skip
    make_bundle(TICKETS.model_copy(update={"raw_md5": "1" * 32}), tmp_path / "other")
    assert "before this run" not in predict(capsys, tmp_path / "other", parts, out)


def test_a_killed_run_goes_on_and_leaves_no_temporary_file(bundle: Path, tmp_path: Path) -> None:
    parts, out = tmp_path / "parts", tmp_path / "out"
    parts.mkdir()
    rows = pd.DataFrame([GOOD] * 3000)
    for number in range(20):
        rows.to_csv(parts / f"{number:02}.csv", index=False)
    command = [sys.executable, "-m", "serving.batch", str(bundle), str(parts), str(out)]
    with subprocess.Popen(command, cwd=ROOT) as running:
        deadline = time.monotonic() + 60
        while not (out / "00.csv.parquet").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        running.kill()
    assert not (out / COMMIT).exists()
    first = (out / "00.csv.parquet").stat().st_ino
    (out / "_unfinished-0").mkdir(exist_ok=True)  # as one that is killed while it writes leaves it
    assert main([str(bundle), str(parts), str(out)]) == 0
    assert (out / "00.csv.parquet").stat().st_ino == first
    assert len(pd.read_parquet(out)) == json.loads((out / COMMIT).read_text())["rows"] == 60_000
    assert not list(out.glob("*unfinished*"))


def test_an_invalid_part_is_named_and_the_parts_before_it_stay(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    predict(capsys, bundle, parts, out)
    (parts / "part-1.csv").write_text("age,fare paid,port,deck\n22,7.25,Southampton,A\nold,7.25,Southampton,A\n")
    assert "part-1.csv: line 3, column 'age': expected a number" in predict(capsys, bundle, parts, out)
    assert not (out / COMMIT).exists()
    assert (out / "part-0.parquet").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: (parts / "part-0.parquet").write_bytes(b"PAR1 torn"), "part-0.parquet cannot be read: "),
        (
            lambda parts: (parts / "notes.md").touch(),
            "expected only parts in .csv, .tsv, .txt, .jsonl, .ndjson or .parquet, received notes.md",
        ),
        (lambda parts: pq.write_table(pa.table({"age": [1.0]}), parts / "part-0.parquet"), "part-0.parquet cannot be"),
        (lambda parts: [path.unlink() for path in parts.iterdir()], "received a folder without any"),
        (lambda parts: (parts / "part-1.csv.parquet").touch(), "expected a name of its own for each part"),
    ],
)
def test_a_folder_that_is_no_table_is_refused(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change, message: str
) -> None:
    change(parts)
    assert message in predict(capsys, bundle, parts, tmp_path / "out")


def test_the_output_is_a_folder_of_its_own(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "expected another folder than IN" in predict(capsys, bundle, parts, parts)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-9.parquet").touch()
    assert "part-9.parquet: expected only predictions of the parts of IN" in predict(
        capsys, bundle, parts, tmp_path / "out"
    )


def test_a_second_run_into_the_same_folder_is_refused(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    first = os.open(out, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    assert "another run writes there" in predict(capsys, bundle, parts, out)
    assert not list(out.iterdir())
    os.close(first)
    assert "300 rows of 3 parts predicted" in predict(capsys, bundle, parts, out)


def test_a_part_that_changes_while_it_is_read_has_no_predictions(
    bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(part: Path) -> str:
        digest = md5(part)
        if part.suffix == ".csv":
            with part.open("a") as file:
                file.write("22,7.25,Southampton,A\n")
        return digest

    monkeypatch.setattr("serving.batch.parts.md5", append)
    out = tmp_path / "out"
    assert "part-1.csv changed while it was read" in predict(capsys, bundle, parts, out)
    assert [path.name for path in out.iterdir()] == ["part-0.parquet"]


def test_dates_of_parquet_are_predicted_as_the_same_dates_in_text(tmp_path: Path) -> None:
    days = NumericFeature(name="days", minimum=0, maximum=3e4, mean=1e4, std=5e3, median=1e4, missing=True)
    date = DateFeature(name="day", format="%Y-%m-%d", missing=True, parts=(days, days, days))
    schema = TICKETS.model_copy(update={"features": (*TICKETS.features, date), "sample": {}})
    make_bundle(schema, tmp_path / "dated")
    texts = ["2024-02-29", None, "1969-12-31"]
    rows = pd.DataFrame([GOOD] * 3).assign(day=texts)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    predict_file(tmp_path / "dated", tmp_path / "rows.csv", tmp_path / "expected.parquet")
    for kind in (pa.date32(), pa.timestamp("ns"), pa.string()):
        table = pa.Table.from_pandas(rows.drop(columns="day")).append_column("day", pa.array(texts).cast(kind))
        pq.write_table(table, tmp_path / "rows.parquet")
        predict_file(tmp_path / "dated", tmp_path / "rows.parquet", tmp_path / "out.parquet")
        out, expected = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("out", "expected"))
        assert np.array_equal(out.iloc[:, 1:], expected.iloc[:, 1:])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:8786", "http://host:8786", "tcp://host:99999", "tcp://host:0", ""]
)
def test_an_address_that_is_no_schedulers_is_refused_before_a_connection(
    bundle: Path, tmp_path: Path, capsys, address: str
) -> None:
    assert main([str(bundle), str(tmp_path), str(tmp_path / "out"), "--scheduler", address]) == 2
    expected = f"predict-file: SCHEDULER: expected an address as tcp://host:8786, received {address!r}\n"
    assert capsys.readouterr().err == expected


def test_rows_without_a_model_are_told_how_to_train_one(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path / "tickets/bundle"), str(tmp_path / "rows.csv"), str(tmp_path / "out.csv")]) == 2
    expected = "tickets/bundle: expected a model, received none: make repro DATASETS=tickets trains one\n"
    assert capsys.readouterr().err.endswith(expected)


def test_rows_that_are_not_there_are_told(bundle: Path, tmp_path: Path, capsys) -> None:
    for name in ("rows.csv", "rows.parquet", "rows.jsonl"):
        said = predict(capsys, bundle, tmp_path / name, tmp_path / "out.csv")
        assert said == f"predict-file: there is no file {tmp_path / name}\n"


def test_a_pipe_is_told_and_not_waited_for(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    assert main([str(bundle), str(tmp_path / "rows.csv"), str(tmp_path / "out.csv")]) == 2
    assert "rows.csv, a pipe or a device" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
