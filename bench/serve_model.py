"""The bundle for the comparison of servers: 784-300-100-10 on Fashion-MNIST.

    DATA_MIRROR=… python -m bench.serve_model var/bench-serve/fashion_mnist

One epoch is enough: the time of a prediction does not depend on the weights.
"""

import argparse
import gzip
import os
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from contracts.bundle import Manifest, seal
from contracts.schema import ClassTarget, ImageFeature, Schema
from models.training.export import export

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the bundle is written")
    folder = parser.parse_args().folder
    mirror = Path(os.environ["DATA_MIRROR"]) / "fashion_mnist"
    images = _idx(mirror / "train-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32)
    labels = _idx(mirror / "train-labels-idx1-ubyte.gz", 8)
    keras.utils.set_random_seed(42)
    network = keras.Sequential(
        [
            keras.layers.Input((784,)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Dense(300, "relu"),
            keras.layers.Dense(100, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    network.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=True)
    history = network.fit(images, labels, batch_size=128, verbose=0)
    export(network, folder, images[:100])
    schema = Schema(
        dataset="fashion_mnist",
        raw_md5="0" * 32,
        task="multiclass",
        features=(ImageFeature(name="image", height=28, width=28, maximum=255),),
        target=ClassTarget(name="target", classes=CLASSES, frequencies=(0.1,) * 10),
        sample={"image": images[0].reshape(28, 28).astype(int).tolist()},
    )
    schema.save(folder / "schema.json")
    seal(
        folder,
        Manifest(
            dataset="fashion_mnist", task="multiclass", metric="accuracy",
            validation={"accuracy": history.history["accuracy"][-1]},
            hyperparameters={"layers": [300, 100]}, seed=42, threads=2, trial=0, study="bench", best_epoch=1,
            n_parameters=network.count_params(), train_md5="0" * 32, validation_md5="0" * 32, git_revision="bench",
            mlflow_run_id="none", versions={"keras": version("keras")},
        ),
    )  # fmt: skip


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header)


if __name__ == "__main__":
    main()
