"""lineage: where a registered version comes from, and which versions come from some data."""

import re
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import UserError, printable
from contracts.settings.load import load_params
from pipeline.paths import Paths

app = typer.Typer()


@app.command()
def lineage(
    dataset: str,
    version: Annotated[str | None, typer.Argument(help="by default the champion")] = None,
    data: Annotated[str | None, typer.Option(help="the md5 of data; lists the versions that come from it")] = None,
) -> None:
    """Show where a version comes from and who approved it, or which versions come from given data."""
    from pipeline.tracking import approval, lineage, registry, runs

    if data is not None and not re.fullmatch(rf"[0-9a-f]{{{lineage.SHORTEST_HASH},64}}", data):
        raise UserError(
            f"DATA: expected an md5, or at least its first {lineage.SHORTEST_HASH} characters, received {data!r}; "
            f"make lineage DATASET={dataset} shows those of a version"
        )
    params = load_params(Path("params.yaml"), dataset)
    client, _ = runs.connect(dataset)
    if data is not None:
        found = lineage.trained_on(client, data)
        if not found:
            raise UserError(f"DATA: no registered version comes from data whose md5 begins with {data}")
        for name, number, kinds in found:
            print(f"{name} version {number}: {kinds} data; make lineage DATASET={name} VERSION={number}")
        return
    present, versions = registry.champion(client, dataset), registry.versions(client, dataset)
    wanted = version or present
    if wanted not in versions:
        raise UserError(
            f"{registry.expected_version(client, dataset, version)}: make lineage DATASET={dataset} VERSION=1"
        )
    aliases = [a for a in (registry.CHAMPION, registry.CHALLENGER) if registry.with_alias(client, dataset, a) == wanted]
    print(f"{dataset} version {wanted}" + (f" ({', '.join(aliases)})" if aliases else ""))
    if version is None and (other := registry.packaged_instead(client, dataset, wanted, Paths(dataset).bundle)):
        print(f"  {other}")
    origin = lineage.of_version(client, dataset, wanted, params.model_dump(mode="json", by_alias=True))
    digest = lineage.test_md5(Paths(dataset))
    if digest is not None and (reads := approval.test_reads(client, dataset, digest)):
        origin["test"] += f"; these test rows were read {'once' if reads == 1 else f'{reads} times'}"
    width = max(map(len, origin))
    for name, text in origin.items():
        print(f"  {name:<{width}}  {printable(text)}")
