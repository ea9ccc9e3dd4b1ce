"""Rows per second of the service over HTTP, beside the `predict` of boosted trees in their own process, in turns:
`make bench-answers [ONLY="adult titanic"]`.

Ours is the first configuration of a search, untrained, because its time does not depend on the weights, as a Bento with
one worker: requests of 1,000 rows of the test part, with their names, from 4 connections. The trees are 1,000 of each
library, with its defaults, on 10,000 encoded rows a call and all cores: no HTTP, no names, no checks.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.machine import machine
from bench.quality import FOLDER, SEEDS, Split, find_tables, parser_of_tables, prepare, save_rows
from bench.results import read, write
from bench.serve_servers import Running, bento, wrk
from bench.stream import write_bundle
from bench.tables import instances
from contracts.errors import UserError
from contracts.settings.space import choose, to_hyperparameters
from contracts.spec import Spec
from pipeline.evaluation.boosted_trees import LIBRARIES
from pipeline.tables import TARGET

RESULTS = Path("bench/results/answers.json")
ROWS, CONNECTIONS, SECONDS, ROUNDS = 1000, 4, 3, 5


class Trees(NamedTuple):
    """A process with 1,000 trees of a library, which measures when it is asked to."""

    process: "subprocess.Popen[str]"

    def rate(self) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(SECONDS, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def main(arguments: list[str]) -> int:
    asked = parser_of_tables(__doc__).parse_args(arguments)
    try:
        for name, entry in find_tables(asked.tables, asked.only).items():
            found = measure(prepare(name, entry, SEEDS[0], FOLDER / f"{name}-answers"))
            write(RESULTS, {**read(RESULTS), "machine": machine("numpy", "onnxruntime", "scikit-learn"), name: found})
            rates = ", ".join(f"{who} {values['median']:,.0f}" for who, values in found["rows_per_second"].items())
            print(f"{name}: {rates} rows/s; {found['parameters']:,} parameters", flush=True)
    except UserError as error:
        print(f"bench-answers: {error}", file=sys.stderr)
        return 2
    return 0


def measure(split: Split) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parameters = write_network(split, folder / "bundle")
        service = bento(split.schema.dataset, folder / "bundle", folder)
        stack.callback(service.stop)
        frame = pd.read_parquet(split.paths.prepared / "test.parquet").drop(columns=TARGET)
        frame = pd.concat([frame] * (1 + ROWS // len(frame))).iloc[:ROWS]
        bodies = {
            "json": (json.dumps({"instances": instances(frame, split.schema)}).encode(), "application/json"),
            "csv": (frame.to_csv(index=False).encode(), "text/csv"),
        }
        trees = {library: start_trees(library, split) for library in LIBRARIES}
        for peer in trees.values():
            stack.callback(peer.process.terminate)
        rates: dict[str, list[float]] = {f"ours, {form}": [] for form in bodies} | {library: [] for library in trees}
        for _ in range(ROUNDS):
            for form, (body, media_type) in bodies.items():
                rates[f"ours, {form}"].append(rate(service, body, media_type, folder))
            for library, peer in trees.items():
                rates[library].append(peer.rate())
    spread = {who: {"median": statistics.median(v), "low": min(v), "high": max(v)} for who, v in rates.items()}
    return {"parameters": parameters, "rows_per_second": spread}


def write_network(split: Split, bundle: Path) -> int:
    """The bundle of the first configuration of a search; returns the parameters of its network."""
    from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
    from models.network import build
    from pipeline.search.plan import make_plan

    use_threads(0)
    space = make_plan(split.params, split.paths).search.space
    spec = Spec(**to_hyperparameters(choose(space, lambda _, entry: entry.start)))
    network = build.build(spec, split.schema)
    rows = split.parts["train"][0]
    write_bundle(network, split.schema, np.resize(rows, (1000, rows.shape[1])), bundle)
    return network.count_params()


def rate(service: Running, body: bytes, media_type: str, folder: Path) -> float:
    url = f"http://127.0.0.1:{service.port}/predict"
    found = wrk(url, body, CONNECTIONS, SECONDS, folder, {"Content-Type": media_type})
    if found["errors"]:
        raise UserError(f"expected answers from the service, received {found['errors']:g} errors")
    return ROWS * found["requests_per_second"]


def start_trees(library: str, split: Split) -> Trees:
    command = [str(FOLDER / "trees/bin/python"), "-m", "bench.peers.answers", library, str(save_rows(split))]
    own = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # the waiting threads of one library slow the others
    process = subprocess.Popen(command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise UserError(f"{library}: expected trees, received exit code {process.wait()}")
    return Trees(process)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
