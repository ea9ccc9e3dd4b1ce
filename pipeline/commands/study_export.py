"""Write the trials of a study as a table, for a spreadsheet or a notebook."""

import argparse
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("--out", help="a file that ends in .csv or .parquet")
    parser.add_argument("--study", help="its name; without, the one that params.yaml and the data ask for")


def run(chosen: argparse.Namespace) -> None:
    params, paths = load_params(Path("params.yaml"), chosen.dataset), Paths(chosen.dataset)
    example = f"make study-export DATASET={chosen.dataset} OUT=trials.csv"
    if chosen.out is None or Path(chosen.out).suffix not in (".csv", ".parquet"):
        raise UserError(f"OUT: expected a file that ends in .csv or .parquet, received {chosen.out!r}: {example}")
    out = Path(chosen.out)
    if not out.parent.is_dir() or out.is_dir():
        raise UserError(f"OUT: expected a file in a folder that exists, received {chosen.out!r}")
    if chosen.study is None and not (paths.prepared / "train.parquet").exists():
        raise UserError(f"{paths.prepared} is missing: name a study (`make studies` lists them): {example} STUDY=…")
    from pipeline.search import studies
    from pipeline.search.plan import make_plan

    storage = studies.open_storage()
    name = chosen.study or make_plan(params, paths).study
    if chosen.study is None and name not in studies.optuna.get_all_study_names(storage):
        raise UserError(
            f"{chosen.dataset} has not been searched with these settings and data (study {name}): run `make tune "
            f"DATASET={chosen.dataset} TRIALS=10`, or name another study, which `make studies` lists: {example} STUDY=…"
        )
    frame = studies.table(studies.load(storage, name))
    if out.suffix == ".csv":
        frame.to_csv(out, index=False)
    else:
        frame.to_parquet(out, index=False)
    print(f"{out}: {len(frame)} trials of {name}")
