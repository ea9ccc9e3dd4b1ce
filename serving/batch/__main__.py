"""`python -m serving.batch BUNDLE IN OUT`: predictions for a file of any size, or for a folder of them.

IN is CSV or JSON lines, also in gzip, or Parquet, with the features as columns, such as the file that the model learned
from. OUT is Parquet or CSV with one row per row of IN. Both are streamed, so memory does not grow with the file. If a
row is invalid, nothing is left at OUT. Where IN is a folder, OUT is one: `serving/batch/parts.py`, on a Dask cluster
`serving/batch/cluster.py`.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a stack trace

import pyarrow as pa

from contracts.bundle import MANIFEST, BundleDamaged
from serving.batch.file import predict_file
from serving.batch.parts import predict_parts
from serving.errors import MAX_LISTED, Problem


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.batch", description="Predict for every row of a file.")
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("source", type=Path, help="rows.csv, rows.parquet, or a folder of such parts")
    parser.add_argument("target", type=Path, help="predictions.parquet, predictions.csv, or a folder for the parts")
    parser.add_argument("--scheduler", help="Dask scheduler whose workers predict the parts: tcp://host:8786")
    args = parser.parse_args(argv)
    try:
        if not (args.bundle / MANIFEST).is_file():
            advice = f"make repro DATASETS={args.bundle.parent.name} trains one"
            raise ValueError(f"{args.bundle}: expected a model, received none: {advice}")
        if args.scheduler is not None:
            from contracts.settings.sections import is_scheduler  # only this needs the settings

            if not is_scheduler(args.scheduler):
                raise ValueError(f"SCHEDULER: expected an address as tcp://host:8786, received {args.scheduler!r}")
            if not args.source.is_dir():
                raise ValueError(f"SCHEDULER: expected a folder of parts for IN, received {args.source}")
            from serving.batch.cluster import predict_on  # imports Dask, which only this needs

            done = predict_parts(args.bundle, args.source, args.target, partial(predict_on, args.scheduler))
        elif args.source.is_dir():
            done = predict_parts(args.bundle, args.source, args.target)
        else:
            counts = predict_file(args.bundle, args.source, args.target)
            first = f", the first at {counts.first}" if counts.first else ""
            done = f"{counts.rows:,} rows predicted, {counts.warnings:,} warnings{first}"
    except FileNotFoundError as error:
        print(f"predict-file: there is no file {error.filename or args.source}", file=sys.stderr)
        return 2
    except (OSError, BundleDamaged, ValueError, pa.ArrowException) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"predict-file: {text}", file=sys.stderr)
        return 2
    except Problem as problem:
        print(f"predict-file: {problem.detail}", file=sys.stderr)
        for path, expected, received in problem.errors[1:MAX_LISTED]:
            print(f"  {path}: expected {expected}, received {received}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = "finished parts are kept, and the same command goes on" if args.source.is_dir() else "nothing is written"
        print(f"predict-file: interrupted; {kept}", file=sys.stderr)
        return 130
    print(f"{done}: {args.target}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
