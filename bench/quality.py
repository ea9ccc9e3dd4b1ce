"""The first configuration of a search beside four libraries of boosted trees, untuned: `make bench-quality`.

Tables are those of a folder, as in `bench.tables`, and the catalog's `california_housing` and `housing`. Each is split
with three seeds; all see the same encoded rows, stop early on the same validation rows and are scored once on the same
test rows: 1 - ROC AUC of classes, RMSE of a number. Each result is written at once, and is not measured again:
`make bench-quality TABLES=<folder> ONLY="titanic ames"` measures some tables, the others another time. `WITH="realmlp
tabm autogluon"` adds other people's networks and an ensemble, which the ratio leaves out. `TUNED=1` is another program,
`bench.quality_tuned`.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.machine import machine
from bench.quality_summary import OURS, SHOWN, summary
from bench.results import read, write
from bench.tables import folder_of_tables, targets_of
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import CategoricalFeature, Schema, load_schema
from contracts.settings.load import Params, load_params
from pipeline.data.splits import read_part
from pipeline.evaluation.boosted_trees import LIBRARIES
from pipeline.paths import Paths
from pipeline.tracking import provenance

RESULTS = Path("bench/results/quality.json")
FOLDER = Path("var/bench-quality")
PEERS = dict.fromkeys(LIBRARIES, "trees") | SHOWN  # competitors, with the environment and the script of each
OF_CATALOG = ("california_housing", "housing")
SEEDS = (1, 2, 3)


class Split(NamedTuple):
    """A prepared table; `parts` has the encoded rows and targets of train, validation and test."""

    params: Params
    paths: Paths
    schema: Schema
    parts: dict[str, tuple[np.ndarray, np.ndarray]]
    seed: int


Competitor = Callable[[Split], dict[str, Any]]  # returns test predictions, seconds and other facts


def main(arguments: list[str]) -> int:
    parser = parser_of_tables(__doc__)
    parser.add_argument("--with", nargs="*", dest="shown", default=[], choices=SHOWN, help="competitors to add")
    asked = parser.parse_args(arguments)
    peers = (*LIBRARIES, *asked.shown)
    competitors: dict[str, Competitor] = {who: partial(of_peer, who, PEERS[who]) for who in peers} | {OURS: of_network}
    try:
        tables = find_tables(asked.tables, asked.only)
        for seed in SEEDS:
            for name, entry in tables.items():
                measure(name, entry, seed, competitors)
    except UserError as error:
        print(f"bench-quality: {error}", file=sys.stderr)
        return 2
    print(summary(read(RESULTS).get("results", {})))
    return 0


def parser_of_tables(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-quality", description=description)
    parser.add_argument("--tables", help="a folder of tables; default: $DATA_MIRROR/tables")
    parser.add_argument("--only", nargs="*", help="names of tables")
    return parser


def find_tables(tables: str | None, only: list[str] | None = None) -> dict[str, str]:
    """The text of the catalog's file for each table, by its name: as `make add-data` writes it, or the catalog's own.

    Args:
        tables: a folder; None for that of the mirror.
        only: the names of the tables that are asked for; None or none for all.

    Raises:
        UserError: there is no such folder or table.
    """
    folder, found = folder_of_tables([tables] if tables else []), {}
    for file, target in targets_of(folder).items():
        name = re.sub(r"[^a-z0-9]+", "_", file.split(".")[0].lower())
        data = {"source": str(folder / file), "target": target}
        found[name] = json.dumps({"data": data, "search": {"space": "auto"}})
    for name in OF_CATALOG:
        found[name] = re.sub(
            r"\n(preprocess|train|search):.*", "", Path(f"catalog/{name}.yaml").read_text(), flags=re.S
        )
        found[name] += "\nsearch: {space: auto}\n"
    if unknown := set(only or ()) - found.keys():
        raise UserError(f"--only: expected names among {', '.join(found)}, received {', '.join(sorted(unknown))}")
    return {name: found[name] for name in only or found}


def measure(name: str, entry: str, seed: int, competitors: dict[str, Competitor], section: str = "results") -> None:
    """Add the results that a section of the file lacks for one split of a table."""
    key = f"{name}, split {seed}"
    missing = [who for who in competitors if who not in read(RESULTS).get(section, {}).get(key, {})]
    if not missing:
        return
    split = prepare(name, entry, seed, FOLDER / f"{name}-{seed if section == 'results' else 'tuned'}")
    for who in missing:
        found = competitors[who](split)
        predictions = found.pop("predictions")
        found = {"error": error_of(split.schema, split.parts["test"][1], predictions), **found}
        report = read(RESULTS)
        report.setdefault(section, {}).setdefault(key, {})[who] = found
        write(RESULTS, {**report, "machine": machine()})
        print(f"{key}: {who} {json.dumps(found)}", flush=True)


def prepare(name: str, entry: str, seed: int, root: Path) -> Split:
    """Fetch a table and split it with a seed, in a folder of its own."""
    from pipeline.stages import fetch, preprocess

    shutil.rmtree(root, ignore_errors=True)
    (root / "catalog").mkdir(parents=True)
    for file in ("params.yaml", "spaces.yaml"):
        shutil.copy(file, root / file)
    settings = root / "params.yaml"
    settings.write_text(re.sub(r"datasets:\n(- .*\n)+", f"datasets: [{name}]\n", settings.read_text()))
    (root / f"catalog/{name}.yaml").write_text(entry)
    params = load_params(settings, name)
    params = params.model_copy(update={"preprocess": params.preprocess.model_copy(update={"seed": seed})})
    paths = Paths(name, root)
    with contextlib.redirect_stdout(io.StringIO()):
        fetch.run(params, paths)
        preprocess.run(params, paths)
    schema = load_schema(paths.prepared / "schema.json")
    parts = {part: read_part(paths.prepared / f"{part}.parquet", schema) for part in ("train", "validation", "test")}
    return Split(params, paths, schema, parts, seed)


def of_network(split: Split) -> dict[str, Any]:
    """One training of the first configuration that a search would try; predictions by ONNX Runtime, as served."""
    from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
    import onnxruntime

    from contracts.settings.space import choose, to_hyperparameters
    from contracts.spec import Spec
    from models.training.data import Split as Rows
    from models.training.export import export
    from models.training.fit import fit
    from pipeline.search.plan import make_plan

    params, paths, schema, parts, seed = split
    use_threads(0)
    plan = make_plan(params, paths)
    spec = Spec(**to_hyperparameters(choose(plan.search.space, lambda _, entry: entry.start)))
    began = time.perf_counter()
    fitted = fit(
        spec, schema, Rows(*parts["train"]), Rows(*parts["validation"]), monitor=plan.metric.name,
        higher_is_better=plan.metric.higher_is_better, epochs=plan.epochs, patience=plan.train.patience, seed=seed,
    )  # fmt: skip
    trained = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        export(fitted.network, Path(folder), parts["validation"][0][:256])
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", providers=["CPUExecutionProvider"])
    ready = time.perf_counter()
    raw = session.run(None, {session.get_inputs()[0].name: parts["test"][0]})[0]
    return {
        "predictions": np.concatenate([1 - raw, raw], axis=1) if schema.task == "binary" else raw,
        "train_seconds": round(trained - began, 1), "predict_seconds": round(time.perf_counter() - ready, 3),
        "epochs": len(fitted.history["loss"]), "parameters": fitted.network.count_params(),
        "revision": provenance.git_revision(),
    }  # fmt: skip


def save_rows(split: Split) -> Path:
    """The encoded rows and targets in a file for the environments of others."""
    rows = split.paths.prepared / "rows.npz"
    if not rows.exists():
        kind = np.float64 if split.schema.task == "regression" else np.int64
        arrays = {f"{part}_x": x for part, (x, _) in split.parts.items()}
        arrays |= {f"{part}_y": y.astype(kind) for part, (_, y) in split.parts.items()}
        categorical = [isinstance(column, CategoricalFeature) for column in split.schema.inputs]
        np.savez(rows, categorical=categorical, **arrays)
    return rows


def of_peer(who: str, script: str, split: Split, *more: str) -> dict[str, Any]:
    """Measure a competitor by a script of `bench.peers`, in its own environment."""
    rows, predictions = save_rows(split), split.paths.prepared / "predictions.npy"
    python = FOLDER / PEERS[who] / "bin/python"
    command = [str(python), "-m", f"bench.peers.quality_{script}", who, "0", str(rows), str(predictions), *more]
    own = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # as of our stages: else trees crawl beside any other program
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{who}: expected predictions, received: {done.stderr[-1000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {"predictions": np.load(predictions)} | {
        key: round(value, 3) if key.endswith("_seconds") else value for key, value in found.items()
    }


def error_of(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> float:
    if schema.task == "regression":
        return float(np.sqrt(np.mean(np.square(predictions.reshape(-1) - y, dtype=np.float64))))
    return 1 - BY_NAME["roc_auc"].compute(y, predictions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
