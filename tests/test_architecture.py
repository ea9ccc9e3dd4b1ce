"""The rules that keep the parts apart, read off the code and off the processes that ran."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
OURS = ("pipeline", "models", "serving")
STAGES = ("fetch", "preprocess", "train", "select", "evaluate", "package")
# What every stage imports to read its parameters: no dep, or a change of a message would rerun everything.
SHARED = {
    "pipeline/__init__.py", "pipeline/stages/__init__.py", "pipeline/stages/__main__.py", "pipeline/environment.py",
    "pipeline/errors.py", "pipeline/params.py", "pipeline/sections.py", "pipeline/space.py", "pipeline/conditions.py",
    "pipeline/pruning.py",
    "pipeline/paths.py", "pipeline/digest.py", "models/spec.py", "models/__init__.py", "serving/__init__.py",
}  # fmt: skip
HEAVY = {
    "tensorflow", "keras", "mlflow", "optuna", "sklearn", "pandas", "pyarrow", "bentoml", "onnxruntime", "matplotlib",
    "dvc", "tf2onnx", "onnx", "starlette", "distributed",
}  # fmt: skip
MAY_LOAD = {
    "fetch": {"pandas", "pyarrow", "sklearn"},
    "preprocess": {"pandas", "pyarrow", "sklearn"},
    # TensorFlow is imported by the processes that train, not by this one.
    "train": {"pandas", "pyarrow", "sklearn", "optuna", "mlflow", "matplotlib", "onnxruntime", "starlette"},
    "select": {"pandas", "pyarrow", "sklearn", "mlflow", "onnxruntime", "starlette"},
    "evaluate": {"pandas", "pyarrow", "sklearn", "mlflow", "onnxruntime", "matplotlib", "starlette"},
    "package": {"bentoml", "onnxruntime", "starlette"},
}


def modules() -> list[Path]:
    return [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]


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


def reached_from(start: str) -> set[str]:
    """Every file of ours that is imported, directly or not, from one of them."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [file for module in imported(ROOT / name) if (file := file_of(module))]
    return seen


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    name, names = str(path.relative_to(ROOT)), imported(path)
    ours = {module for module in names if module.split(".")[0] in OURS}
    if name.startswith("models/"):
        assert not {m for m in ours if m.startswith(("serving", "pipeline.tracking", "pipeline.stages"))}
    elif name.startswith("serving/"):
        assert {m for m in ours if not m.startswith("serving")} <= {
            f"pipeline.schema{rest}" for rest in ("", *(f".{n}" for n in names_in_schema()))
        }
    elif name.startswith("pipeline/") and not name.startswith(("pipeline/stages/", "pipeline/commands/")):
        assert not {m for m in ours if m.startswith(("pipeline.stages", "pipeline.commands"))}
    if not name.startswith(("pipeline/stages/__main__", "pipeline/commands/__main__")):
        assert not {m for m in ours if m.startswith("pipeline.stages.")}, "nobody imports a stage"


def names_in_schema() -> set[str]:
    tree = ast.parse((ROOT / "pipeline/schema.py").read_text())
    named = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return named | {"Feature", "UNKNOWN"}


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("mlflow", {"pipeline/tracking.py", "serving/mlflow_model.py"}),
        ("bentoml", {"pipeline/stages/package.py", "serving/service.py"}),
        ("dvc", set()),
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
    reached = reached_from(f"pipeline/stages/{stage}.py") - SHARED
    uncovered = {name for name in reached if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)}
    assert not uncovered


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_deps_name_no_module_that_is_not_used(stage: str) -> None:
    deps = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]["deps"]
    travels = {"select": {"serving/mlflow_model.py", "pipeline/code.py"}, "package": {"pipeline/schema.py"}}
    reached = reached_from(f"pipeline/stages/{stage}.py") | travels.get(stage, set())
    unused = {dep for dep in deps if dep.endswith(".py") and dep not in reached}
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
    # `splits` and `preprocess` make the file; the summary reads the metrics of that name.
    assert mentions <= {
        "pipeline/splits.py", "pipeline/stages/preprocess.py", "pipeline/stages/evaluate.py",
        "pipeline/commands/summary.py", "pipeline/tracking.py",
    }  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_loads_only_what_its_work_needs(stage: str, project) -> None:
    loaded = set((project.loaded / stage).read_text().split())
    assert loaded & HEAVY <= MAY_LOAD[stage]


def test_training_does_load_what_the_rule_is_about(project) -> None:
    """The rule above would be empty if nothing were noted."""
    assert {"optuna", "mlflow"} <= set((project.loaded / "train").read_text().split())
    assert {"mlflow", "onnxruntime"} <= set((project.loaded / "select").read_text().split())
