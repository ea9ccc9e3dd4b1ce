"""What a project's folder holds, to be compared with what it held before."""

import hashlib
from pathlib import Path

from ruamel.yaml import YAML


def contents(folder: Path, *patterns: str) -> dict[str, str]:
    """The hash of every file in the folder that fits."""
    files = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def of_dataset(folder: Path, dataset: str) -> dict[str, str]:
    return contents(folder, f"*/*/{dataset}/**/*", f"artifacts/{dataset}/**/*", f"metrics/{dataset}.json")


def stages_in_lock(folder: Path, dataset: str) -> dict:
    stages = YAML(typ="safe").load(folder / "dvc.lock")["stages"]
    return {name: stage for name, stage in stages.items() if name.endswith(f"@{dataset}")}
