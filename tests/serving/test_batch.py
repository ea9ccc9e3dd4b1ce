"""Predictions for files."""

import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest
from asking import GOOD
from bundles import TICKETS, TILES, make_bundle
from servers import ROOT


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch") / "bundle"
    make_bundle(TICKETS, folder)
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.batch", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_a_file_gives_what_the_service_gives(
    bundle: Path, tickets: httpx.Client, tmp_path: Path, source: str, target: str
) -> None:
    rows = pd.DataFrame(
        [GOOD | {"age": float(n % 80), "port": "Queenstown" if n % 3 else "Atlantis"} for n in range(25_000)]
    )
    write, read = (rows.to_csv, pd.read_csv), pd.read_parquet
    (write[0] if source == "rows.csv" else rows.to_parquet)(tmp_path / source, index=False)
    done = run(bundle, tmp_path / source, tmp_path / target)
    assert done.returncode == 0, done.stderr
    assert "25000 rows predicted, 8334 warnings" in done.stdout
    predictions = (write[1] if target == "out.csv" else read)(tmp_path / target)
    assert list(predictions.columns) == ["label", "P(first)", "P(second)", "P(third)"]
    assert len(predictions) == 25_000
    last = rows.iloc[-1].to_dict()
    asked = tickets.post("/predict", json={"instances": [last]}).json()["predictions"][0]
    assert predictions.iloc[-1]["label"] == asked["label"]
    assert predictions.iloc[-1]["P(first)"] == pytest.approx(asked["probabilities"]["first"], rel=1e-5)


def test_a_wrong_row_far_down_is_named_and_nothing_is_left(bundle: Path, tmp_path: Path) -> None:
    lines = ["age,fare paid,port,deck", *["22,7.25,Southampton,A"] * 15_000, "old,7.25,Southampton,A"]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    done = run(bundle, tmp_path / "rows.csv", tmp_path / "out.parquet")
    assert done.returncode == 2
    assert "line 15002, column 'age'" in done.stderr
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("text", ["", "age,port\n1,2\n", '"', "a\xff"])
def test_what_is_no_table_of_the_features_is_refused(bundle: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_bytes(text.encode("latin-1"))
    done = run(bundle, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("predict-file: ")
    assert "Traceback" not in done.stderr


def test_a_model_of_images_is_refused(tmp_path: Path) -> None:
    make_bundle(TILES, tmp_path / "bundle")
    done = run(tmp_path / "bundle", "rows.csv", "out.csv")
    assert done.returncode == 2
    assert "a model of images" in done.stderr
