"""1,000 boosted trees in the environment of `quality_trees.lock`: `python -m bench.peers.answers <library>
<rows.npz>` trains them, prints `ready`, and for each line of seconds on its standard input the rows per second.

They are evaluated on their train rows, so that no early stopping makes them fewer.
"""

import sys
import time
import warnings

import numpy as np

from pipeline.evaluation.boosted_trees import LIBRARIES, Rows

TRAINED, A_CALL = 10_000, 10_000  # rows


def main(library: str, file: str) -> None:
    warnings.simplefilter("ignore")
    with np.load(file) as stored:
        train = stored["train_x"][:TRAINED], stored["train_y"][:TRAINED]
        rows = np.resize(stored["test_x"], (A_CALL, stored["test_x"].shape[1]))
        predict = LIBRARIES[library](Rows(train, train, stored["categorical"]), 0)
    predict(rows)
    print("ready", flush=True)
    for seconds in sys.stdin:
        began, calls = time.perf_counter(), 0
        while time.perf_counter() < began + float(seconds):
            predict(rows)
            calls += 1
        print(A_CALL * calls / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
