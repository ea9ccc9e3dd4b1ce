"""Boosted trees in the environment of `quality_trees.lock`: `python -m bench.peers.quality_trees <library> <seed>
<rows.npz> <predictions.npy>` prints the seconds as JSON.
"""

import json
import sys
import time
import warnings

import numpy as np

from pipeline.evaluation.boosted_trees import LIBRARIES, Rows


def main(library: str, seed: str, file: str, predictions: str) -> None:
    warnings.simplefilter("ignore")
    with np.load(file) as stored:
        train, held_out = ((stored[f"{part}_x"], stored[f"{part}_y"]) for part in ("train", "validation"))
        rows, test = Rows(train, held_out, stored["categorical"]), stored["test_x"]
    began = time.perf_counter()
    predict = LIBRARIES[library](rows, int(seed))
    trained = time.perf_counter()
    np.save(predictions, predict(test))
    print(json.dumps({"train_seconds": trained - began, "predict_seconds": time.perf_counter() - trained}))


if __name__ == "__main__":
    main(*sys.argv[1:])
