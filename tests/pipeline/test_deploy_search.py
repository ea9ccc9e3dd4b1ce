"""The Kubernetes manifest of a search, as far as it can be checked without a cluster."""

from pathlib import Path

import typer
from ruamel.yaml import YAML

from pipeline.commands.__main__ import app

ROOT = Path(__file__).parents[2]


def test_workers_reach_the_scheduler_by_its_service_and_nobody_else_does() -> None:
    documents = list(YAML(typ="safe").load_all(ROOT / "deploy/search.yaml"))
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    service = found["Service", "search-scheduler"]["spec"]
    pods = {name: found["Deployment", name]["spec"] for name in ("search-scheduler", "search-worker")}
    for name, spec in pods.items():
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items(), name
    scheduler, worker = (spec["template"]["spec"]["containers"][0] for spec in pods.values())
    assert service["selector"].items() <= pods["search-scheduler"]["template"]["metadata"]["labels"].items()
    port = service["ports"][0]["port"]
    assert service["ports"][0]["targetPort"] == port == scheduler["ports"][0]["containerPort"]
    assert str(port) in scheduler["command"]
    # `dask scheduler` would not do: tasks are unpickled there, and it does not import from the working directory.
    flag, module = scheduler["command"][1:3]
    assert f'"{flag}", "{module}"' in (ROOT / "pipeline/commands/servers.py").read_text(), "as `make scheduler` does"
    assert f"tcp://search-scheduler:{port}" in worker["command"]
    assert worker["command"][3] in typer.main.get_command(app).commands
    (entry,) = found["NetworkPolicy", "search-members"]["spec"]["ingress"]
    (members,) = entry["from"]
    labels = members["podSelector"]["matchLabels"].items()
    assert all(labels <= spec["template"]["metadata"]["labels"].items() for spec in pods.values())
