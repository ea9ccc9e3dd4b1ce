"""Steps over streamed rows that are killed at random moments: the next run gives the same files.

`make fault-test` does the same with many more kills and rows.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data_rows import write_table
from contracts.schema import load_schema
from tests.project_files import contents
from tests.projects import ROOT
from tests.serving.bundles import make_bundle
from tests.settings_files import change_yaml

KILLS = int(os.environ.get("FAULT_KILLS", "2"))  # of the steps in turn
ROWS = int(os.environ.get("FAULT_ROWS", "10000"))
PARTS, GAP = 10, 100  # a row of so many has no target, and is refused


class Data:
    """A folder with settings, parts of rows, and a command for each step."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder, folder.parent / "temporary"
        for path in (self.temporary, folder / "catalog", folder / "rows"):
            path.mkdir(parents=True)
        for name in ("params.yaml", "spaces.yaml"):
            shutil.copy(ROOT / name, folder)

        def settle(params: dict) -> None:
            params["datasets"] = ["mixed"]
            params["fetch"]["memory"] = min(1.5, ROWS / 1e6)  # GiB: so little that the rows are streamed

        change_yaml(folder / "params.yaml", settle)
        (folder / "catalog/mixed.yaml").write_text("data: {source: rows, target: y}\n")
        write_table(folder / "all.parquet", ROWS)
        table = pq.read_table(folder / "all.parquet")
        classes = [None if row % GAP == 0 else y + row % 2 for row, y in enumerate(table["y"].to_pylist())]
        table = table.set_column(table.schema.get_field_index("y"), "y", pa.array(classes))
        for number in range(PARTS):
            pq.write_table(table.slice(number * ROWS // PARTS, ROWS // PARTS), folder / f"rows/{number}.parquet")
        (folder / "all.parquet").unlink()
        stage = ("-m", "pipeline.stages")
        self.steps = {
            "fetch": (*stage, "fetch", "--dataset", "mixed"),
            "preprocess": (*stage, "preprocess", "--dataset", "mixed"),
            "predict": ("-m", "serving.batch", "bundle", "rows", "predictions"),
        }
        self.outputs = {"fetch": "data/raw", "preprocess": "data/prepared", "predict": "predictions"}

    def start(self, step: str) -> subprocess.Popen:
        env = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)}
        return subprocess.Popen(
            [sys.executable, *self.steps[step]], cwd=self.folder, env=env, stdout=subprocess.PIPE, text=True
        )

    def finish(self, step: str) -> str:
        process = self.start(step)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def files(self, step: str) -> dict[str, str]:
        return contents(self.folder, f"{self.outputs[step]}/**/*")

    def check_nothing_is_left(self) -> None:
        assert list(self.temporary.iterdir()) == []
        assert list(self.folder.rglob("*unfinished*")) == []
        processes = (p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(self.folder))
        assert not list(processes)


def rows_in(path: Path) -> int:
    return pq.read_metadata(path).num_rows


@pytest.mark.timeout(3000)
def test_after_a_kill_at_any_moment_the_next_run_gives_the_same_files(tmp_path: Path) -> None:
    chance, data = random.Random(0), Data(tmp_path / "project")
    seconds, expected, said = {}, {}, {}
    for step in data.steps:
        begun = time.monotonic()
        said[step] = data.finish(step)
        seconds[step], expected[step] = time.monotonic() - begun, data.files(step)
        if step == "preprocess":
            make_bundle(load_schema(data.folder / "data/prepared/mixed/schema.json"), data.folder / "bundle")

    fetched = rows_in(data.folder / "data/raw/mixed/data.parquet")
    assert f"{fetched:,} rows; {ROWS // GAP:,} of {ROWS:,} rows have no y and are left out" in said["fetch"]
    assert fetched == ROWS - ROWS // GAP
    prepared = data.folder / "data/prepared/mixed"
    assert sum(rows_in(prepared / f"{name}.parquet") for name in ("train", "validation", "test")) == fetched
    assert json.loads((data.folder / "predictions/_predictions.json").read_text())["rows"] == ROWS

    killed = dict.fromkeys(data.steps, 0)
    while sum(killed.values()) < KILLS:
        step = min(killed, key=lambda name: killed[name])
        shutil.rmtree(data.folder / data.outputs[step])
        process = data.start(step)
        if killed[step] % 2:
            time.sleep(chance.uniform(0.2, 0.95) * seconds[step])
        else:  # while it writes
            while process.poll() is None and not list((data.folder / data.outputs[step]).rglob("*.parquet")):
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.005) * seconds[step])
        process.kill()
        process.communicate()
        killed[step] += process.returncode == -9  # else it was faster than the first time
        finished = {name: digest for name, digest in data.files(step).items() if "unfinished" not in name}
        assert finished.items() <= expected[step].items(), "a file has its name before it is complete"
        parts = {path: path.stat().st_ino for path in (data.folder / "predictions").glob("*.parquet")}
        data.finish(step)
        assert data.files(step) == expected[step]
        assert {path: path.stat().st_ino for path in parts} == parts, "a finished part is made again"
        data.check_nothing_is_left()
    print(f"{ROWS:,} rows; killed: {killed}; {ROWS - fetched:,} of the rows refused, the others are all there")
