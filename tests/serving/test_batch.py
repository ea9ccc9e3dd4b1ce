"""Predictions for files."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from bento_servers import ROOT
from bundles import TICKETS, make_bundle
from request_bodies import GOOD

from contracts.encoding import Repeated
from contracts.schema import DroppedColumn, TextForm
from serving.batch.__main__ import main
from serving.batch.file import predict_file
from serving.errors import Problem
from serving.predictor import Predictor
from serving.validation.validator import InputValidator


@pytest.fixture
def bundle(bundles: Path) -> Path:
    return bundles / "tickets"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The message of a command that fails."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_a_file_gets_the_predictions_of_the_service(
    bundle: Path, tickets: httpx.Client, tmp_path: Path, source: str, target: str
) -> None:
    rows = pd.DataFrame(
        [GOOD | {"age": float(n % 80), "port": "Queenstown" if n % 3 else "Atlantis"} for n in range(25_000)]
    )
    write, read = (rows.to_csv, pd.read_csv), pd.read_parquet
    (write[0] if source == "rows.csv" else rows.to_parquet)(tmp_path / source, index=False)
    assert predict_file(bundle, tmp_path / source, tmp_path / target)[:2] == (25_000, 8334)
    predictions = (write[1] if target == "out.csv" else read)(tmp_path / target)
    assert list(predictions.columns) == ["label", "P(first)", "P(second)", "P(third)"]
    assert len(predictions) == 25_000
    last = rows.iloc[-1].to_dict()
    by_service = tickets.post("/predict", json={"instances": [last]}).json()["predictions"][0]
    assert predictions.iloc[-1]["label"] == by_service["label"]
    assert predictions.iloc[-1]["P(first)"] == pytest.approx(by_service["probabilities"]["first"], rel=1e-5)


def test_the_command_predicts_and_reports_its_counts(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("port,age,fare paid,deck\nAtlantis,22,7.25,\n")
    command = [
        sys.executable,
        "-m",
        "serving.batch",
        str(bundle),
        str(tmp_path / "rows.csv"),
        str(tmp_path / "out.csv"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 rows predicted, 1 warnings, the first at line 2, column " in done.stdout
    assert (tmp_path / "out.csv").is_file()


def test_an_invalid_row_is_named_and_leaves_no_output(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["age,fare paid,port,deck", *["22,7.25,Southampton,A"] * 15_000, "old,7.25,Southampton,A"]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    assert "line 15002, column 'age'" in refusal(capsys, bundle, tmp_path / "rows.csv", tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("text", ["", "age,port\n1,2\n", '"', "a\xff"])
def test_a_file_that_is_not_a_table_of_the_features_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "rows.csv").write_bytes(text.encode("latin-1"))
    assert refusal(capsys, bundle, tmp_path / "rows.csv", tmp_path / "out.csv").startswith("predict-file: ")


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson.gz"])
def test_json_lines_are_predicted_like_the_same_csv(bundle: Path, tmp_path: Path, ending: str) -> None:
    (tmp_path / "rows.csv").write_text("age,fare paid,port,deck\n22,7.25,Queenstown,A\n,1007.5,Malaga,\n")
    first = {"port": "Queenstown", "age": 22, "fare paid": 7.25, "deck": "A"}
    rows = [first, {"age": None, "fare paid": 1007.5, "port": "Malaga", "deck": None}]
    content = "\n\n".join(map(json.dumps, rows)).encode()
    (tmp_path / f"rows{ending}").write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    counts = [predict_file(bundle, tmp_path / f"rows{e}", tmp_path / f"out{e}.parquet")[:2] for e in (".csv", ending)]
    assert counts[0] == counts[1]
    assert pd.read_parquet(tmp_path / "out.csv.parquet").equals(pd.read_parquet(tmp_path / f"out{ending}.parquet"))


@pytest.mark.parametrize("at_once", [1, 100])
def test_a_line_that_is_no_row_is_named(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("serving.batch.file.CHUNK_ROWS", at_once)
    row = json.dumps({"port": "Queenstown", "age": 22, "fare paid": 7.25, "deck": "A"})
    for line, message in (
        ("{", r"rows.jsonl: line 3: "),
        ("[1]", r"line 3: expected a value for each of the 4 features, received 1 values"),
        (row.replace("22", '"old"'), r"line 3\['age'\]: expected a number"),
    ):
        (tmp_path / "rows.jsonl").write_text(f"{row}\n\n{line}\n")
        refused = refusal(capsys, bundle, tmp_path / "rows.jsonl", tmp_path / "out.csv")
        assert re.search(message, refused), refused


def test_a_model_of_images_is_refused(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a model of images" in refusal(capsys, bundles / "tiles", "rows.csv", "out.csv")


def test_a_file_of_another_kind_is_told_with_those_that_are_read(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, bundle, "rows.json", "out.csv") == (
        "predict-file: expected IN as .csv, .tsv, .txt or .jsonl, each also as .gz, or as .parquet, and OUT as .csv or "
        ".parquet, received rows.json and out.csv\n"
    )


COLUMNS = ["id", "age", "fare paid", "port", "deck", "class"]
OWN = TICKETS.model_copy(
    update={
        "text": TextForm(
            encoding="cp1252", delimiter=";", decimal=",", missing=("", "NA", "?"), units={"fare paid": "€"}
        ),
        "dropped": (DroppedColumn(name="id", role="identifier", reason="every row has another whole number"),),
    }
)


@pytest.mark.parametrize("fare", ["7,2,5", "7 00", "7$", "€7€ 7", "7 € 5", "€"])
def test_a_number_that_is_none_is_told_as_it_is_written(tmp_path: Path, fare: str) -> None:
    make_bundle(OWN, tmp_path / "own")
    (tmp_path / "rows.csv").write_text(";".join(COLUMNS) + f"\n1;22;{fare};Queenstown;A;first\n", "cp1252")
    with pytest.raises(Problem, match=r"line 2, column 'fare paid': expected a number, received a string"):
        predict_file(tmp_path / "own", tmp_path / "rows.csv", tmp_path / "out.csv")


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.txt"])
def test_the_file_that_a_model_learned_from_is_predicted_as_it_is(bundle: Path, tmp_path: Path, name: str) -> None:
    """Its delimiter, decimal mark, units, encoding and markers of missing values, its target and its identifiers."""
    make_bundle(OWN, tmp_path / "own")
    lines = [";".join(COLUMNS), "1;22;7,25 €;Queenstown;A;first", "2;NA;€1.007,5;Málaga;?;second"]
    content = "\r\n".join([*lines, "3;NA;1\u00a0007,5\u00a0€;Málaga;?;second"]).encode("cp1252")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert predict_file(tmp_path / "own", tmp_path / name, tmp_path / "out.parquet")[:2] == (3, 4)
    plain = "port,age,fare paid,deck\nQueenstown,22,7.25,A\n" + 2 * "Málaga,,1007.5,\n"
    for folder in ("own", "plain"):  # and text that is written for the service, by the same model and by another one
        model = tmp_path / "own" if folder == "own" else bundle
        (tmp_path / "plain.csv").write_text(plain)
        predict_file(model, tmp_path / "plain.csv", tmp_path / "expected.parquet")
        assert pd.read_parquet(tmp_path / "out.parquet").equals(pd.read_parquet(tmp_path / "expected.parquet"))


def test_rows_without_a_value_are_left_out_at_the_end_alone(bundle: Path, tmp_path: Path) -> None:
    header, row, *_ = pd.DataFrame([GOOD]).to_csv(index=False).splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([header, row, row, ",,,", "", ",,,"]) + "\n")
    assert predict_file(bundle, tmp_path / "rows.csv", tmp_path / "out.csv").rows == 2
    (tmp_path / "rows.csv").write_text("\n".join([header, row, ",,,", row]) + "\n")
    with pytest.raises(Problem, match="line 3, column 'fare paid': expected a number"):
        predict_file(bundle, tmp_path / "rows.csv", tmp_path / "out.csv")


def test_a_second_run_to_the_same_file_is_refused_and_leaves_the_first_alone(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "rows.csv", tmp_path / "new" / "out.csv"
    source.write_text("port,age,fare paid,deck\nSouthampton,22,7.25,\n")
    seen, predict = [], Predictor.outputs

    def predict_beside_another_run(*arguments):
        if not seen:
            seen.append(refusal(capsys, bundle, source, out))
        return predict(*arguments)

    monkeypatch.setattr(Predictor, "outputs", predict_beside_another_run)
    assert predict_file(bundle, source, out)[:2] == (1, 0)
    assert seen == [f"predict-file: {out}: another run writes there: wait until it ends\n"]
    assert [path.name for path in out.parent.iterdir()] == ["out.csv"]
    assert len(pd.read_csv(out)) == 1
    assert predict_file(bundle, source, out)[:2] == (1, 0)


def test_an_interrupt_says_that_a_single_file_begins_anew(bundle: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    pd.DataFrame([GOOD]).to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.setattr(Predictor, "outputs", lambda *_: signal.raise_signal(signal.SIGINT))
    assert main([str(bundle), str(tmp_path / "rows.csv"), str(tmp_path / "out.csv")]) == 130
    assert capsys.readouterr().err == "predict-file: interrupted; nothing is written\n"


@pytest.mark.parametrize("name", ["rows.csv", "unfinished-out.csv"])
def test_the_input_is_never_written_over(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    source = tmp_path / name
    source.write_text("port,age,fare paid,deck\nAtlantis,22,7.25,\n")
    target = tmp_path / ("out.csv" if name.startswith("unfinished") else name)
    assert refusal(capsys, bundle, source, target) == (
        f"predict-file: OUT: expected another file than IN, received {target}\n"
    )
    assert source.read_text().startswith("port,")


def test_a_column_given_by_its_different_values_gets_the_answers_of_its_single_values() -> None:
    """What a Parquet file's text becomes; the service gets single values."""
    validator, positions = InputValidator(TICKETS, 100), np.array([0, 1, 2, 1, 0])
    numbers = {"age": [1.0, None, 3.0, 4.0, 5.0], "fare paid": [1.0, 2.0, 3.0, 4.0, 5.0]}

    def outcome(port: list, deck: list, repeated: bool) -> Any:
        columns = {
            name: Repeated(values, positions) if repeated else [values[position] for position in positions]
            for name, values in (("port", port), ("deck", deck))
        }
        try:
            rows = validator.validate_columns(numbers | columns, lambda row, name: f"{row} {name}", [])
        except Problem as problem:
            return problem.errors
        return np.nan_to_num(rows.encoded, nan=-1).tolist(), rows.warnings, rows.kinds

    for port, deck in (
        (["Queenstown", "Atlantis", "Cherbourg"], ["A", "Z", None]),
        (["Queenstown", 3.5, "Cherbourg"], ["A", True, None]),
        (["Queenstown", None, "Cherbourg"], ["A", "B", None]),
    ):
        assert outcome(port, deck, repeated=True) == outcome(port, deck, repeated=False)
    _, warnings, kinds = outcome(["Queenstown", "Atlantis", "Cherbourg"], ["A", "Z", None], repeated=True)
    assert (len(warnings), kinds) == (4, {"unknown_category": 4})


def test_onnx_runtime_reports_to_nobody(tmp_path: Path) -> None:
    """Where it does, the import leaves an identifier in TMPDIR."""
    variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", "import serving.predictor"]
    subprocess.run(command, cwd=ROOT, env=variables | {"TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
