"""Tables with the settings of `make add-data`, beside scikit-learn's boosted trees: `make bench-tables`.

A folder holds the files, and a README.md with a table whose columns `file` and `target` name the targets. Each file is
trained, packaged and served in a project of its own, a clone of the last commit in `var/bench-tables`. A table is
measured once for each commit.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests

from bench.machine import machine
from bench.results import read, write
from contracts.errors import UserError
from contracts.schema import DateFeature, Schema, load_schema
from pipeline.paths import Paths
from pipeline.tables import TARGET
from pipeline.tracking import provenance

RESULTS = Path("bench/results/tables.json")
PROJECTS = Path("var/bench-tables").absolute()
ROWS = 200  # in a request


def main(arguments: list[str]) -> int:
    try:
        folder = folder_of_tables(arguments)
        targets = targets_of(folder)
    except UserError as error:
        print(f"bench-tables: {error}", file=sys.stderr)
        return 2
    results = {"tables": {}, **read(RESULTS)}
    revision = provenance.git_revision()
    for file, target in targets.items():
        name = re.sub(r"[^a-z0-9]+", "_", file.split(".")[0].lower())
        known = results["tables"].get(name, {"failed": "never measured"})
        if known.get("revision") == revision and "failed" not in known:
            continue
        measured = {"revision": revision, **measure(name, folder / file, target)}
        if "failed" in measured and "failed" not in known:
            print(f"{name}: failed, its earlier figures are kept: {measured['failed']}", file=sys.stderr)
            continue
        results = {"machine": machine(), "tables": {**results["tables"], name: measured}}
        write(RESULTS, results)
    print(summary(results["tables"]))
    return 0


def folder_of_tables(arguments: list[str]) -> Path:
    """The folder that is asked for, else `tables` of the mirror."""
    mirror = os.environ.get("DATA_MIRROR", "")
    folder = Path(arguments[0]) if arguments else Path(mirror) / "tables"
    if not (arguments or mirror) or not (folder / "README.md").exists():
        raise UserError(
            "expected a folder of tables with a README.md that names the target of each, as TABLES=<folder> or as "
            f"$DATA_MIRROR/tables; received {folder if arguments or mirror else 'neither'}"
        )
    return folder.absolute()


def targets_of(folder: Path) -> dict[str, str]:
    """The target of each file, from the columns `file` and `target` of the table in the folder's README.md."""
    lines = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if not cells or not {"file", "target"} <= set(cells[0]):
        raise UserError(f"{folder / 'README.md'}: expected a table with the columns file and target")
    rows = [dict(zip(cells[0], row, strict=False)) for row in cells[2:]]
    return {row["file"]: row["target"].split(" (")[0] for row in rows if (folder / row["file"]).exists()}


def measure(name: str, file: Path, target: str) -> dict[str, Any]:
    """Seconds, columns left out, test metrics and the largest difference between HTTP and a file's predictions."""
    project = PROJECTS / name
    shutil.rmtree(project, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ".", str(project)], check=True)
    found: dict[str, Any] = {"target": target}
    commands = {"add_data": ("add-data", name, str(file), target), "repro": ("repro", name)}
    for what, command in commands.items():
        started = time.perf_counter()
        done = run(project, "pipeline.commands", *command)
        found[f"{what}_seconds"] = round(time.perf_counter() - started, 1)
        (project / f"{what}.log").write_text(done.stdout + done.stderr)
        print(f"{name}: {what} {found[f'{what}_seconds']} s", flush=True)
        if done.returncode:
            return found | {"failed": (done.stdout + done.stderr)[-2000:]}
    schema = load_schema(Paths(name, project).prepared / "schema.json")
    found |= {
        "task": schema.task,
        "left_out": {column.name: f"{column.role}: {column.reason}" for column in schema.dropped},
        "http_difference": served_difference(project, schema),
    }
    done = run(project, "bench.tables_score", name)
    found |= json.loads(done.stdout.splitlines()[-1]) if not done.returncode else {"failed": done.stderr[-2000:]}
    print(f"{name}: {json.dumps(found)}", flush=True)
    return found


def run(project: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment(), capture_output=True, text=True, check=False
    )


def environment() -> dict[str, str]:
    """The environment of a process in a project of its own, without variables that lead to other places."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "OPTUNA_", "BENTOML_"))}
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}", "DVC_NO_ANALYTICS": "1"}


def served_difference(project: Path, schema: Schema) -> float:
    """The largest difference between the service's answers to the test rows, with all their columns, and those of
    `make predict-file`, relative to predictions above 1.
    """
    paths = Paths(schema.dataset, project)
    rows, out = paths.prepared / "test.parquet", project / "predictions.parquet"
    done = run(project, "serving.batch", str(paths.bundle), str(rows), str(out))
    if done.returncode:
        raise RuntimeError(done.stderr)
    expected = pd.read_parquet(out).drop(columns="label", errors="ignore").select_dtypes("number").to_numpy()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipeline.commands", "serve", schema.dataset, "--port", str(port)]
    log = (project / "serve.log").open("w")
    server = subprocess.Popen(command, cwd=project, env=environment(), stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        bodies = instances(pd.read_parquet(rows).drop(columns=TARGET), schema)
        received = [
            answer
            for start in range(0, len(bodies), ROWS)
            for answer in ask(f"http://127.0.0.1:{port}/predict", bodies[start : start + ROWS])
        ]
    finally:
        server.terminate()
        server.wait(30)
    return float(np.max(np.abs(np.array(received) - expected) / np.maximum(1, np.abs(expected))))


def wait_until_ready(address: str) -> None:
    for _ in range(300):
        try:
            if requests.get(address, timeout=1).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{address} is not ready after 30 s")


def instances(frame: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """Rows as a client has them: every column of the file, the last one first, dates as the file writes them."""
    for feature in schema.features:
        if isinstance(feature, DateFeature):
            frame[feature.name] = frame[feature.name].dt.strftime(feature.format)
    return json.loads(frame[frame.columns[::-1]].to_json(orient="records", double_precision=15))


def ask(address: str, rows: list[dict[str, Any]]) -> list[list[float]]:
    """The numbers of each prediction, in the order of the outputs."""
    answer = requests.post(address, json={"instances": rows}, timeout=60)
    if not answer.ok:
        raise RuntimeError(answer.text)
    return [list(p.get("probabilities", {"": p.get("value")}).values()) for p in answer.json()["predictions"]]


def summary(tables: dict[str, Any]) -> str:
    """A line for each table and metric: the mean of the network over seeds and the trees, both in their better form."""
    lines = ["table | metric | network, mean of seeds | boosting | ratio | add-data, repro | HTTP differs by"]
    for name, found in tables.items():
        if "failed" in found:
            lines.append(f"{name} | failed")
            continue
        for metric in found["champion"]:
            ours = min(float(np.mean(form[metric])) for form in found["seeds"].values())
            other = min(model[metric] for model in found["boosting"].values())
            lines.append(
                f"{name} | {metric} | {ours:.4g} | {other:.4g} | {ours / other:.3f} | "
                f"{found['add_data_seconds']} s, {found['repro_seconds']} s | {found['http_difference']:.1e}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
