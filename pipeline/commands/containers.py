"""containerize: an image of the packaged Bento."""

import os
import shutil
import tempfile
from pathlib import Path

import typer
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.packaged_bento import packaged_bento, unpack
from pipeline.paths import Paths

PARAMS = Path("params.yaml")
ENGINES = ("docker", "podman", "nerdctl")
app = typer.Typer()


@app.command()
def containerize(dataset: str) -> None:
    """Make an image of the packaged Bento, with the first container engine that is found."""
    load_params(PARAMS, dataset)
    bento = packaged_bento(Paths(dataset))
    engine = next((name for name in ENGINES if shutil.which(name)), None)
    if engine is None:
        raise UserError(f"expected a container engine, one of {', '.join(ENGINES)}; found none")
    tag = _in_store(bento, dataset)
    print(f"an image of {tag}, by {engine}", flush=True)
    command = ["bentoml", "containerize", tag, "-t", f"{dataset}:latest", "--backend", engine]
    os.execvpe("bentoml", command, {"PYTHONWARNINGS": "ignore", **os.environ})


def _in_store(bento: Path, dataset: str) -> str:
    """The tag of a Bento, which is brought into BentoML's store unless it is there.

    The newest one in the store may be another: experiments share the store, and DVC brings files back without it.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    with tempfile.TemporaryDirectory() as folder:
        unpack(bento, dataset, Path(folder) / "bento")
        described = YAML(typ="safe").load(Path(folder) / "bento/bento.yaml")
    tag = f"{described['name']}:{described['version']}"
    try:
        bentoml.get(tag)
    except NotFound:
        bentoml.import_bento(str(bento.resolve()))
    return tag
