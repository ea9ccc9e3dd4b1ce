"""Train the winner again from its stored settings: the validation figure must be the same."""

import argparse
import tempfile
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_params
from models.search.workers.pool import Pool
from models.search.workers.temporary import use_own_folder
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")


def run(chosen: argparse.Namespace) -> int:
    params, paths = load_params(Path("params.yaml"), chosen.dataset), Paths(chosen.dataset)
    use_own_folder()
    with Pool() as pool, tempfile.TemporaryDirectory() as folder:
        from contracts.bundle import BundleDamaged, open_bundle
        from contracts.files import md5
        from contracts.metrics import BY_NAME
        from models.search.study import Objective, task_for
        from pipeline.search.train import prepare_data

        try:
            manifest, _ = open_bundle(paths.bundle)
        except BundleDamaged as error:
            raise UserError(f"{error}; run `dvc repro select@{chosen.dataset}` first") from None
        if manifest.train_md5 != md5(paths.prepared / "train.parquet"):
            raise UserError(
                f"the winner was trained on other rows than {paths.prepared / 'train.parquet'} holds: "
                f"run `dvc repro package@{chosen.dataset}` first"
            )
        metric = BY_NAME[manifest.metric]
        data = prepare_data(paths, Path(folder))
        objective = Objective(data, metric.name, metric.higher_is_better, params.train)
        task = task_for(objective, manifest.hyperparameters, manifest.seed, manifest.threads)
        print(f"Training trial {manifest.trial} of {manifest.study} again …", flush=True)
        pool.start(None, "train", task, Path(folder) / "model.keras")
        again = pool.result().value
    before = manifest.validation[metric.name]
    same = again == before
    print(f"validation {metric.name}: {before!r} before, {again!r} now: {'the same' if same else 'NOT the same'}")
    return 0 if same else 1
