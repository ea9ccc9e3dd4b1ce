"""`python -m pipeline.stages <stage> --dataset <name>`: the command of every stage of `dvc.yaml`. Worker processes do
not import a module called `__main__` again, so they import only what they need.
"""

import argparse
import gc
import importlib
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a stack trace

from contracts.bundle import BundleDamaged
from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.environment import prepare_environment
from pipeline.paths import Paths

STAGES = ("fetch", "preprocess", "train", "select", "evaluate", "package")
# A file of an earlier stage that each stage needs.
NEEDED = {
    "preprocess": "data/raw/{}/data.parquet",
    "train": "data/prepared/{}/schema.json",
    "select": "artifacts/{}/candidates/trials.csv",
    "evaluate": "artifacts/{}/bundle",
    "package": "artifacts/{}/bundle",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.stages", description="Run one stage for one dataset.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--dataset", required=True, help="a name from catalog/")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that `finally` runs
    prepare_environment()
    try:
        params = load_params(Path("params.yaml"), arguments.dataset)
        _check_needed(arguments.stage, arguments.dataset)
        gc.disable()  # the collector finds no garbage in what is imported, and takes a sixth of the time
        stage = importlib.import_module(f"pipeline.stages.{arguments.stage}")
        gc.freeze()
        gc.enable()
        stage.run(params, Paths(arguments.dataset))
    except (UserError, BundleDamaged) as error:
        print(f"{arguments.stage} {arguments.dataset}: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit) as end:
        what = f"{arguments.stage} {arguments.dataset}"
        print(f"{what}: ended by a signal; what is finished is kept: the same command goes on", file=sys.stderr)
        return 130 if isinstance(end, KeyboardInterrupt) else 143
    return 0


def _check_needed(stage: str, dataset: str) -> None:
    """Refuse a stage that is started by hand before an earlier stage has run."""
    if stage in NEEDED and not (path := Path(NEEDED[stage].format(dataset))).exists():
        raise UserError(f"expected {path}, which an earlier stage writes, received none: make repro DATASETS={dataset}")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
