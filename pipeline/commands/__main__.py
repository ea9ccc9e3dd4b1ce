"""`python -m pipeline.commands <command> …`: what the Makefile calls; `--help` lists the commands."""

import argparse
import importlib
import sys

from contracts.errors import UserError
from pipeline.environment import prepare_environment

COMMANDS = {
    "summary": "the table at the end of a run",
    "tune": "search further for one dataset, and run the stages after it",
    "studies": "the studies of the storage",
    "study_export": "the trials of a study as CSV or Parquet",
    "dashboard": "Optuna's dashboard over the studies",
    "worker": "train trials for the searches of a Dask scheduler",
    "retrain": "train the winner again from its stored settings, and compare",
    "references": "scikit-learn's models on the same split, as runs of the same experiment",
    "lr_range": "which learning rate to begin with",
    "export": "the champion as SavedModel, weights and architecture",
    "promote": "serve a registered version again",
    "ui": "MLflow's UI over the tracked runs",
    "tensorboard": "TensorBoard over every tracked trial's learning curves",
    "serve": "the packaged Bento on this machine",
    "predict": "send the schema's sample to the running service",
}


def main() -> int:
    prepare_environment()
    parser = argparse.ArgumentParser(prog="python -m pipeline.commands")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in COMMANDS.items():
        importlib.import_module(f"pipeline.commands.{name}").arguments(commands.add_parser(name, help=purpose))
    chosen = parser.parse_args()
    try:
        return importlib.import_module(f"pipeline.commands.{chosen.command}").run(chosen) or 0
    except UserError as error:
        print(f"{chosen.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
