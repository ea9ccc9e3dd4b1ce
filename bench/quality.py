"""The first configuration of a search beside four libraries of boosted trees, untuned: `make bench-quality`.

Tables are those of a folder, as in `bench.tables`, and the catalog's `california_housing` and `housing`. Each is split
with three seeds; all see the same encoded rows, stop early on the same validation rows and are scored once on the same
test rows: 1 - ROC AUC of classes, RMSE of a number. Each result is written as it comes, and is not measured again:
`make bench-quality TABLES=<folder> ONLY="titanic ames"` measures some tables, the others another time. `WITH="realmlp
tabm autogluon"` adds other people's networks and an ensemble, which the ratio leaves out.
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import machine
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
SHOWN = {"realmlp": "networks", "tabm": "networks", "autogluon": "autogluon"}
PEERS = dict.fromkeys(LIBRARIES, "trees") | SHOWN  # competitors, and whose environment and script they need
OF_CATALOG = ("california_housing", "housing")
SEEDS = (1, 2, 3)
OURS = "ours"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench-quality", description=__doc__)
    parser.add_argument("--tables", help="a folder of tables; default: $DATA_MIRROR/tables")
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--with", nargs="*", dest="shown", default=[], choices=SHOWN, help="competitors to add")
    asked = parser.parse_args(arguments)
    try:
        tables = find_tables(folder_of_tables([asked.tables] if asked.tables else []))
        if unknown := set(asked.only or ()) - tables.keys():
            raise UserError(f"--only: expected names among {', '.join(tables)}, received {', '.join(sorted(unknown))}")
        for seed in SEEDS:
            for name in asked.only or tables:
                measure(name, tables[name], seed, (*LIBRARIES, *asked.shown, OURS))
    except UserError as error:
        print(f"bench-quality: {error}", file=sys.stderr)
        return 2
    print(summary(read(RESULTS).get("results", {})))
    return 0


def find_tables(folder: Path) -> dict[str, str]:
    """What a file of the catalog holds for each table, by its name: that of `make add-data`, or the catalog's own."""
    found = {}
    for file, target in targets_of(folder).items():
        name = re.sub(r"[^a-z0-9]+", "_", file.split(".")[0].lower())
        data = {"source": str(folder / file), "target": target}
        found[name] = json.dumps({"data": data, "search": {"space": "auto"}})
    for name in OF_CATALOG:
        found[name] = re.sub(
            r"\n(preprocess|train|search):.*", "", Path(f"catalog/{name}.yaml").read_text(), flags=re.S
        )
        found[name] += "\nsearch: {space: auto}\n"
    return found


def measure(name: str, entry: str, seed: int, competitors: tuple[str, ...]) -> None:
    """Add the results that are missing for one split of a table."""
    key = f"{name}, split {seed}"
    missing = [who for who in competitors if who not in read(RESULTS).get("results", {}).get(key, {})]
    if not missing:
        return
    params, paths = prepare(name, entry, seed)
    schema = load_schema(paths.prepared / "schema.json")
    parts = {part: read_part(paths.prepared / f"{part}.parquet", schema) for part in ("train", "validation", "test")}
    for who in missing:
        found = of_network(params, paths, schema, parts, seed) if who == OURS else of_peer(who, paths, schema, parts)
        predictions = found.pop("predictions")
        found = {"error": error_of(schema, parts["test"][1], predictions), **found}
        report = read(RESULTS)
        report.setdefault("results", {}).setdefault(key, {})[who] = found
        write(RESULTS, {"machine": machine(), **report})
        print(f"{key}: {who} {json.dumps(found)}", flush=True)


def prepare(name: str, entry: str, seed: int) -> tuple[Params, Paths]:
    """Fetch a table and split it with a seed, in a folder of its own."""
    from pipeline.stages import fetch, preprocess

    root = FOLDER / f"{name}-{seed}"
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
    return params, paths


def of_network(params: Params, paths: Paths, schema: Schema, parts: dict[str, Any], seed: int) -> dict[str, Any]:
    """One training of the first configuration that a search would try; predictions by ONNX Runtime, as served."""
    from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
    import onnxruntime

    from contracts.settings.space import choose, to_hyperparameters
    from contracts.spec import Spec
    from models.training.data import Split
    from models.training.export import export
    from models.training.fit import fit
    from pipeline.search.plan import make_plan

    use_threads(0)
    plan = make_plan(params, paths)
    spec = Spec(**to_hyperparameters(choose(plan.search.space, lambda _, entry: entry.start)))
    began = time.perf_counter()
    fitted = fit(
        spec, schema, Split(*parts["train"]), Split(*parts["validation"]), monitor=plan.metric.name,
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


def of_peer(who: str, paths: Paths, schema: Schema, parts: dict[str, Any]) -> dict[str, Any]:
    """One training of a competitor, in the environment of its own."""
    rows, predictions = paths.prepared / "rows.npz", paths.prepared / "predictions.npy"
    if not rows.exists():
        regression = schema.task == "regression"
        arrays = {f"{part}_x": x for part, (x, _) in parts.items()}
        arrays |= {f"{part}_y": y.astype(np.float64 if regression else np.int64) for part, (_, y) in parts.items()}
        np.savez(rows, categorical=[isinstance(column, CategoricalFeature) for column in schema.inputs], **arrays)
    python = FOLDER / PEERS[who] / "bin/python"
    command = [str(python), "-m", f"bench.peers.quality_{PEERS[who]}", who, "0", str(rows), str(predictions)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{who}: expected predictions, received: {done.stderr[-1000:]}")
    seconds = {key: round(value, 3) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}
    return {"predictions": np.load(predictions), **seconds}


def error_of(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> float:
    if schema.task == "regression":
        return float(np.sqrt(np.mean(np.square(predictions.reshape(-1) - y, dtype=np.float64))))
    return 1 - BY_NAME["roc_auc"].compute(y, predictions)


def summary(results: dict[str, Any]) -> str:
    """A line for each table: mean errors over the splits that all libraries and ours have, our ratio to the best
    library, then what is only shown; then the geometric mean over the tables with a 95 % bootstrap interval.
    """
    lines = [f"table | splits | {' | '.join((*LIBRARIES, OURS))} | ratio to the best | our seconds | others: our ratio"]
    ratios = []
    for name in dict.fromkeys(key.split(",")[0] for key in results):
        needed = {*LIBRARIES, OURS}
        splits = [of for key, of in results.items() if key.split(",")[0] == name and needed <= of.keys()]
        if not splits:
            continue
        means = {who: mean_of(splits, who, "error") for who in (*LIBRARIES, OURS)}
        ratios.append(means[OURS] / min(means[library] for library in LIBRARIES))
        seconds = mean_of(splits, OURS, "train_seconds")
        errors = " | ".join(f"{value:.4g}" for value in means.values())
        others = ", ".join(shown(splits, who) for who in SHOWN if any(who in of for of in splits)) or "-"
        lines.append(f"{name} | {len(splits)} | {errors} | {ratios[-1]:.3f} | {seconds:.0f} | {others}")
    if ratios:
        low, high = interval(ratios)
        lines.append(f"geometric mean over {len(ratios)} tables: {geometric_mean(ratios):.3f} ({low:.3f}-{high:.3f})")
    return "\n".join(lines)


def shown(splits: list[dict[str, Any]], who: str) -> str:
    """A competitor's error and seconds over the splits it has, and our error on the same splits as a ratio to it."""
    common = [of for of in splits if who in of]
    error, seconds = mean_of(common, who, "error"), mean_of(common, who, "train_seconds")
    ratio = mean_of(common, OURS, "error") / error
    return f"{who} {error:.4g} ({seconds:.0f} s, splits: {len(common)}): {ratio:.3f}"


def mean_of(splits: list[dict[str, Any]], who: str, what: str) -> float:
    return float(np.mean([of[who][what] for of in splits]))


def geometric_mean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the geometric mean, over tables (Efron and Tibshirani, 1993)."""
    logs = np.log(ratios)
    means = np.random.default_rng(0).choice(logs, (10_000, len(logs))).mean(axis=1)
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
