"""The bundle for the comparison of servers: the material's 784-300-100-10 on Fashion-MNIST.

    DATA_MIRROR=… python -m bench.serve_model var/bench-serve/fashion_mnist

One epoch is enough: the time of a prediction does not depend on the weights.
"""

import sys
from functools import partial
from pathlib import Path

from bench.material import parts, score, train
from bench.systems import FASHION, images_split
from contracts.bundle import Manifest, seal
from models.training.export import export
from pipeline.tracking import provenance


def main(folder: Path) -> None:
    schema, of = parts("fashion_mnist", partial(images_split, 5000))
    network = train(FASHION, schema, of["train"], of["validation"], epochs=1, seed=42)
    export(network, folder, of["validation"].features[:100])
    schema.save(folder / "schema.json")
    seal(
        folder,
        Manifest(
            dataset=schema.dataset, task=schema.task, metric="accuracy",
            validation={"accuracy": score(network, schema, of["validation"], "accuracy")},
            hyperparameters=FASHION.model_dump(mode="json"), seed=42, threads=2, trial=0, study="bench", best_epoch=0,
            n_parameters=network.count_params(), train_md5="0" * 32, validation_md5="0" * 32,
            git_revision=provenance.git_revision(), mlflow_run_id="none", versions=provenance.versions("keras"),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
