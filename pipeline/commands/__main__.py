"""`python -m pipeline.commands <command> …`, which the Makefile calls; `--help` lists the commands."""

import importlib
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a stack trace

import typer

from contracts.bundle import BundleDamaged
from contracts.errors import UserError
from pipeline.environment import prepare_environment

SUBJECTS = (
    "repro",
    "data",
    "contracts",
    "servers",
    "containers",
    "studies",
    "registry",
    "lineage",
    "diagnostics",
    "worker",
)

app = typer.Typer(
    help="What a person does around the pipeline.", add_completion=False, pretty_exceptions_enable=False,
    no_args_is_help=True,
)  # fmt: skip
for subject in SUBJECTS:
    app.add_typer(importlib.import_module(f"pipeline.commands.{subject}").app)


def main() -> int:
    prepare_environment()
    try:
        app(prog_name="python -m pipeline.commands")
    except (UserError, BundleDamaged) as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
