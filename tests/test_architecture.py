"""The rules that keep the parts apart, read off the code and off the processes that ran."""

import ast
import functools
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
OURS = ("contracts", "models", "serving", "pipeline")
# Each part imports the rest of its own row and the rows above it; the parts of one row do not import each other.
ORDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "": (("contracts",), ("models", "serving"), ("pipeline",)),
    "models": (("network",), ("training",), ("search",)),
    "serving": (
        ("errors", "settings", "predictor", "explanation"),
        ("parsing",),
        ("validation",),
        ("metrics", "batch"),
        ("model",),
        ("protocols",),
        ("openapi", "page"),
        ("http",),
        ("service", "predict_sample", "mlflow_model"),
        ("answer_sample",),
    ),
    "pipeline": (
        ("paths", "tables", "resources"),
        ("environment", "sources"),
        ("data_contract",),
        ("data",),
        ("streaming",),
        ("data_report",),
        ("evaluation",),
        ("tracking",),
        ("search", "model_report"),
        ("dvc_cli", "packaged_bento"),
        ("stages", "commands"),
    ),
}
MOST_LINES, MOST_FILES = 250, 15
STAGES = ("fetch", "preprocess", "train", "select", "evaluate", "package")
# What every stage imports to read its settings: no dep, or the change of a message would run everything again.
SHARED = (
    "contracts/errors.py", "contracts/settings/", "contracts/spec.py",
    "pipeline/environment.py", "pipeline/paths.py", "pipeline/stages/__main__.py",
)  # fmt: skip


@functools.cache
def modules() -> list[Path]:
    return [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]


@functools.cache
def imported(path: Path) -> set[str]:
    """The modules that a file names in its imports, wherever in the file they are."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def file_of(module: str) -> str | None:
    """The file of one of our modules, relative to the root."""
    path = module.replace(".", "/")
    for name in (f"{path}.py", f"{path}/__init__.py"):
        if module.split(".")[0] in OURS and (ROOT / name).exists():
            return name
    return None


@functools.cache
def files_imported_by(name: str) -> set[str]:
    return {file for module in imported(ROOT / name) if (file := file_of(module))}


def reached_from(start: str) -> set[str]:
    """Every file of ours that is imported, directly or not, from one of them."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += files_imported_by(name)
    return seen


def part_of(name: str, package: str) -> str:
    """The part of a package to which one of its files belongs."""
    return Path(name).relative_to(package).parts[0].removesuffix(".py")


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_one_way(package: str) -> None:
    rank = {part: number for number, row in enumerate(ORDER[package]) for part in row}
    files = [str(path.relative_to(ROOT)) for path in modules() if path.is_relative_to(ROOT / package)]
    parts = {name: part_of(name, package) for name in files if Path(name) != Path(package) / "__init__.py"}
    assert set(parts.values()) == set(rank), "ORDER names each part once"
    back = [
        f"{name} imports {other}"
        for name, part in parts.items()
        for other in files_imported_by(name)
        if other in parts and parts[other] != part and rank[parts[other]] >= rank[part]
    ]
    assert not back


def test_no_file_imports_one_that_imports_it() -> None:
    graph = {name: files_imported_by(name) for name in (str(path.relative_to(ROOT)) for path in modules())}
    TopologicalSorter(graph).prepare()  # raises CycleError with the files


def test_no_stage_or_command_is_imported() -> None:
    for path in modules():
        taken = files_imported_by(str(path.relative_to(ROOT)))
        assert not {file for file in taken if file.startswith(("pipeline/stages/", "pipeline/commands/"))} - {
            "pipeline/stages/__init__.py", "pipeline/commands/__init__.py", "pipeline/stages/__main__.py"
        }, path  # fmt: skip


def test_files_and_folders_are_small_enough_to_read() -> None:
    long = [path for path in modules() if len(path.read_text().splitlines()) > MOST_LINES]
    assert not long
    folders = Counter(path.parent for path in modules() if path.name != "__init__.py")
    assert not {folder for folder, count in folders.items() if count > MOST_FILES}


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("mlflow", {"pipeline/tracking/runs.py", "pipeline/tracking/registry.py", "serving/mlflow_model.py"}),
        ("bentoml", {"pipeline/commands/containers.py", "pipeline/stages/package.py", "serving/service.py"}),
        ("dvc", {"pipeline/dvc_cli.py"}),
    ],
)
def test_a_tool_is_imported_in_its_own_place_only(package: str, homes: set[str]) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in modules()
        if any(name == package or name.startswith(f"{package}.") for name in imported(path))
    }
    assert found <= homes


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
def test_tensorflow_is_imported_below_models_only(package: str) -> None:
    for path in modules():
        if any(name.split(".")[0] == package for name in imported(path)):
            assert path.is_relative_to(ROOT / "models"), path


def test_packages_say_what_they_are_and_import_nothing() -> None:
    for path in modules():
        if path.name == "__init__.py":
            tree = ast.parse(path.read_text())
            assert len(tree.body) == 1, path
            assert ast.get_docstring(tree), path


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_deps_cover_what_a_stage_imports(stage: str) -> None:
    deps = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]["deps"]
    reached = {name for name in reached_from(f"pipeline/stages/{stage}.py") if not name.endswith("__init__.py")}
    covered = (*deps, *SHARED)
    uncovered = {name for name in reached if not name.startswith(tuple(covered))}
    assert not uncovered


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_deps_name_no_module_that_is_not_used(stage: str) -> None:
    deps = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]["deps"]
    # What a registered model, a Bento or another process uses without this process importing it.
    travels = {
        "train": {"contracts/ahead.py", "contracts/conformal.py"},  # the processes that train import them
        "select": {"serving/mlflow_model.py"},
        "package": {
            "serving/service.py",
            *(f"contracts/{name}.py" for name in ("bundle", "conformal", "encoding", "schema")),
        },
    }
    reached = reached_from(f"pipeline/stages/{stage}.py") | travels.get(stage, set())
    unused = {dep for dep in deps if dep.startswith(OURS) and not any(name.startswith(dep) for name in reached)}
    assert not unused


def test_only_evaluate_reads_test_rows() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    readers = {name for name, stage in stages.items() if any("/test" in str(dep) for dep in stage["deps"])}
    assert readers == {"evaluate"}
    mentions = {
        str(path.relative_to(ROOT))
        for path in modules()
        if "test.parquet" in path.read_text() or '"test"' in path.read_text()
    }
    # `splits` and `preprocess` make the file; the summary and the report show the metrics of that name, and the lineage
    # the hash of the file.
    assert mentions <= {
        "pipeline/data/partition.py", "pipeline/stages/preprocess.py", "pipeline/stages/evaluate.py",
        "pipeline/commands/repro.py", "pipeline/commands/lineage.py", "pipeline/tracking/runs.py",
        "pipeline/tracking/lineage.py", "pipeline/model_report/report.py", "pipeline/model_report/card.py",
    }  # fmt: skip
