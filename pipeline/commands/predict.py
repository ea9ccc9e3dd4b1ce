"""Send the sample that the schema knows to the running service, and show what it answers."""

import argparse
import json
import shlex
from pathlib import Path

from contracts.errors import UserError
from contracts.schema import load_schema
from contracts.settings.load import load_params
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("--port", type=int, default=3000)


def run(chosen: argparse.Namespace) -> None:
    import requests

    load_params(Path("params.yaml"), chosen.dataset)
    path = Paths(chosen.dataset).bundle / "schema.json"
    if not path.exists():
        raise UserError(f"{path} is missing: run `make repro DATASETS={chosen.dataset}` first")
    schema = load_schema(path)
    sample = schema.sample[schema.image.name] if schema.image else schema.sample
    address, body = f"http://127.0.0.1:{chosen.port}/predict", json.dumps({"instances": [sample]})
    try:
        answer = requests.post(address, data=body, headers={"Content-Type": "application/json"}, timeout=30)
    except requests.ConnectionError:
        raise UserError(
            f"nothing answers at {address}: run `make serve DATASET={chosen.dataset}` in another terminal"
        ) from None
    shown = body if len(body) < 500 else body[:200] + "…"
    print(f"curl {address} -H 'content-type: application/json' -d {shlex.quote(shown)}")
    print(json.dumps(answer.json(), indent=2))
    if not answer.ok:
        raise UserError(f"the service answered {answer.status_code}; does it serve {chosen.dataset}?")
