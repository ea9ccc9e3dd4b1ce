"""Lineage: where a registered version comes from, and which versions come from some data."""

import json
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.bundle import BundleDamaged, Manifest, open_bundle
from contracts.files import md5, sha256
from contracts.schema import Schema
from pipeline.paths import Paths
from pipeline.tracking import approval, registry, runs
from pipeline.tracking.registry import MlflowClient

LOCK = Path("requirements.lock")
DATA = "data."  # prefix of a version's tags: the md5 of raw rows, each part, the source's file and the contract
SHORTEST_HASH = 6


def version_tags(manifest: Manifest, schema: Schema, paths: Paths) -> dict[str, str]:
    """The tags of a version for its data and its environment, in addition to its bundle."""
    source = paths.raw / "source.json"
    fetched: dict[str, str | None] = json.loads(source.read_text(encoding="utf-8")) if source.exists() else {}
    hashes = {**data_hashes(manifest, schema), "source": fetched.get("md5"), "contract": fetched.get("contract")}
    locked = f", requirements.lock {sha256(LOCK)[:12]}" if LOCK.exists() else ""
    environment = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}{locked}"
    return {f"{DATA}{name}": value for name, value in hashes.items() if value} | {"environment": environment}


def data_hashes(manifest: Manifest, schema: Schema) -> dict[str, str]:
    """The md5 of the raw rows and of the parts that a bundle was trained and chosen on."""
    return {"raw": schema.raw_md5, "train": manifest.train_md5, "validation": manifest.validation_md5}


def of_version(client: MlflowClient, dataset: str, version: str, settings_now: Mapping[str, Any]) -> dict[str, str]:
    """Where a version comes from: a text by subject, in the order in which a person reads them."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = registry.download_bundle(dataset, version, Path(scratch))
        manifest, schema = open_bundle(bundle)
        stored = bundle.with_name(registry.SETTINGS)
        settings = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else None
    tags = client.get_model_version(dataset, version).tags
    hashes = data_hashes(manifest, schema) | {
        key.removeprefix(DATA): value for key, value in tags.items() if key.startswith(DATA)
    }
    contract = hashes.pop("contract", None)
    run = manifest.mlflow_run_id
    figures = client.get_run(run).data.metrics if runs.run_exists(client, run) else {}
    hyperparameters = _hyperparameters(manifest)
    versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    record = [" ".join(entry) for entry in approval.approvals(client, dataset, version)]
    is_present = registry.champion(client, dataset) == version
    return {
        "run": run or "none: MLflow did not take it",
        "trial": _made_of(manifest),
        "code": manifest.git_revision,
        "data": ", ".join(f"{name} {value}" for name, value in hashes.items()),
        "contract": contract or "none",
        "hyperparameters": hyperparameters,
        "settings": "not recorded" if settings is None else _differences(settings, settings_now),
        "environment": "; ".join(part for part in (tags.get("environment"), versions) if part),
        "validation": ", ".join(f"{name} {value:.4g}" for name, value in manifest.validation.items()),
        "test": _test_figures(figures) or "not measured",
        "gates": approval.verdict(client, dataset, version) or "none",
        "approved": "; ".join(record) or "not recorded",
        "proof": f"make retrain DATASET={dataset}" + ("" if is_present else f" VERSION={version}"),
    }  # fmt: skip


def trained_on(client: MlflowClient, digest: str) -> list[tuple[str, str, str]]:
    """Dataset, version and kind of data of every version with data whose hash begins with `digest`."""
    found = []
    for version in client.search_model_versions():
        hashes = {key.removeprefix(DATA): value for key, value in version.tags.items() if key.startswith(DATA)}
        # A version without these tags has the hashes in its bundle.
        known = hashes or _hashes_in_bundle(version.name, str(version.version))
        kinds = [kind for kind, value in known.items() if value.startswith(digest)]
        if kinds:
            found.append((version.name, str(version.version), " and ".join(kinds)))
    return sorted(found, key=lambda entry: (entry[0], int(entry[1])))


def references(client: MlflowClient, experiment: str, metric: str, validation_md5: str) -> dict[str, float]:
    """The metrics of models logged by `log_baseline` on these validation rows, by name; the newest of each."""
    found = client.search_runs(
        [experiment], f"tags.kind = 'baseline' and tags.`data.validation` = '{validation_md5}'",
        order_by=["attributes.start_time"],
    )  # fmt: skip
    key = f"val_{metric}"
    values = {str(run.info.run_name).removeprefix("baseline "): run.data.metrics.get(key) for run in found}
    return {name: value for name, value in values.items() if value is not None}


def test_md5(paths: Paths) -> str | None:
    """The hash of the file with the test rows, without reading its rows."""
    path = paths.prepared / "test.parquet"
    return md5(path) if path.exists() else None


def _made_of(manifest: Manifest) -> str:
    seeds = ", ".join(str(one.seed) for one in manifest.members or (manifest,))
    return f"{manifest.made_of.removeprefix('trial ')} of study {manifest.study}, seed {seeds}"


def _hyperparameters(manifest: Manifest) -> str:
    def listed(hyperparameters: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {_short(value)}" for name, value in hyperparameters.items())

    if not manifest.members:
        return listed(manifest.hyperparameters)
    return "; ".join(f"trial {one.trial}: {listed(one.hyperparameters)}" for one in manifest.members)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _hashes_in_bundle(dataset: str, version: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return data_hashes(*open_bundle(registry.download_bundle(dataset, version, Path(scratch))))
        except (registry.MlflowException, BundleDamaged, OSError):  # its artifacts are gone
            return {}


def _test_figures(metrics: Mapping[str, float]) -> str:
    names = [key.removeprefix("test.") for key in metrics if key.startswith("test.")]
    ends = {name: tuple(metrics.get(f"{end}.{name}", float("nan")) for end in ("low", "high")) for name in names}
    return ", ".join("{} {:.4g} ({:.4g}–{:.4g})".format(name, metrics[f"test.{name}"], *ends[name]) for name in names)


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, present = _flat(then), _flat(now)
    changed = [
        f"{key} was {json.dumps(before.get(key))}, is {json.dumps(present.get(key))}"
        for key in sorted(before.keys() | present.keys())
        if before.get(key) != present.get(key)
    ]
    return "as now" if not changed else "; ".join(changed)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
