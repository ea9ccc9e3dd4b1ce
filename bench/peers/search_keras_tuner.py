"""Searches the material's space with Keras Tuner, in its own process and environment. bench/search.py starts it.

python search_keras_tuner.py <random | hyperband | bayesian> <seed> <epochs> <folder>: the folder holds
`{train,validation}.{features,target}.npy` and `scale.json`. Prints a line of JSON for each finished trial.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np

MANY = 100_000  # trials: more than the time allows


def main(name: str, seed: int, epochs: int, folder: Path) -> None:
    keras.utils.set_random_seed(seed)
    parts = ("train.features", "train.target", "validation.features", "validation.target")
    x, y, x_validation, y_validation = (np.load(folder / f"{part}.npy") for part in parts)
    scale = json.loads((folder / "scale.json").read_text())

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        if hp.Boolean("normalise"):
            scaled = keras.layers.Rescaling(1 / scale["std"], -scale["mean"] / scale["std"])
        else:
            scaled = keras.layers.Rescaling(1 / scale["maximum"])
        width = hp.Int("width", 16, 256)
        hidden = [keras.layers.Dense(width, activation="relu") for _ in range(hp.Int("depth", 0, 8, default=2))]
        network = keras.Sequential([keras.Input((x.shape[1],)), scaled, *hidden, keras.layers.Dense(10, "softmax")])
        rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[
            hp.Choice("optimizer", ["sgd", "adam"])
        ]
        network.compile(optimizer(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return network

    tuner_class, limits = {
        "random": (keras_tuner.RandomSearch, {"max_trials": MANY}),
        "hyperband": (keras_tuner.Hyperband, {"max_epochs": epochs, "factor": 3, "hyperband_iterations": MANY}),
        "bayesian": (keras_tuner.BayesianOptimization, {"max_trials": MANY}),
    }[name]

    class Timed(tuner_class):  # type: ignore[misc, valid-type]
        def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
            super().on_trial_end(trial)
            score = self.oracle.get_trial(trial.trial_id).score
            print(json.dumps({"time": time.time(), "value": score}), flush=True)

    with tempfile.TemporaryDirectory() as directory:
        tuner = Timed(build, objective="val_accuracy", seed=seed, directory=directory, **limits)
        tuner.search(x, y, epochs=epochs, batch_size=32, validation_data=(x_validation, y_validation), verbose=0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
