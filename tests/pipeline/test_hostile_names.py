"""Names that somebody wrote into params.yaml by hand: no command runs, nothing outside is written or removed."""

import re
import shlex
import subprocess

import pytest

from tests.projects import ROOT, Project, copy_project
from tests.settings_files import change_yaml

COMMAND_NAMES = ("x;touch FILE;#", "'$(touch FILE)`touch FILE`'", "-x")
NAMES = (*COMMAND_NAMES, "../../../outside", "../../inside")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project for hostile names, with a file that DVC finds for each, and folders where two of them lead."""
    made = copy_project(tmp_path_factory.mktemp("hostile") / "project")
    for name in NAMES:
        file = (made.folder / "catalog" / f"{name}.yaml").resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("data: {source: scikit-learn, task: multiclass}\n")
    for folder in ("../outside", "inside"):
        (made.folder / folder).mkdir()
        (made.folder / folder / "kept").write_text("kept")
    return made


def files(project: Project) -> set[str]:
    """The files of the project and beside it, without those of DVC, git and Python themselves."""
    paths = {str(path.relative_to(project.folder.parent)) for path in project.folder.parent.rglob("*")}
    return {
        path for path in paths if not re.search(r"/(\.git|\.dvc|__pycache__|data|loaded)(/|$)|^(loaded|site)", path)
    }


def test_plain_dvc_quotes_names_and_each_stage_refuses_them(hostile: Project) -> None:
    change_yaml(hostile.folder / "params.yaml", lambda content: content.update(datasets=list(COMMAND_NAMES)))
    before = files(hostile)
    done = hostile.run("dvc", "repro", "--keep-going", check=False)
    assert done.returncode != 0
    started = {line[2:] for line in done.stdout.splitlines() if line.startswith("> ")}
    assert {command for command in started if "fetch" not in command} == set()
    assert {shlex.split(command)[-1] for command in started} == set(COMMAND_NAMES)
    assert "the settings have" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(hostile) == before


@pytest.mark.parametrize("name", ["../../../outside", "../../inside"])
def test_plain_dvc_removes_nothing_that_a_name_leads_to(hostile: Project, name: str) -> None:
    change_yaml(hostile.folder / "params.yaml", lambda content: content.update(datasets=[name]))
    before = files(hostile)
    done = hostile.run("dvc", "repro", f"fetch@{name}", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert files(hostile) == before


def test_repro_refuses_names_before_dvc_sees_them(hostile: Project) -> None:
    change_yaml(hostile.folder / "params.yaml", lambda content: content.update(datasets=list(NAMES)))
    before = files(hostile)
    done = hostile.run_here("repro")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert all(
        f"params.yaml: datasets: expected a file catalog/{name}.yaml" in done.stderr for name in NAMES if "'" in name
    )
    assert files(hostile) == before


def test_repro_of_a_dataset_that_does_not_exist_leaves_everything_as_it_was(hostile: Project) -> None:
    change_yaml(hostile.folder / "params.yaml", lambda content: content.update(datasets=["iris"]))
    for name in COMMAND_NAMES:
        (hostile.folder / "catalog" / f"{name}.yaml").unlink()
    before, settings = files(hostile), (hostile.folder / "params.yaml").read_bytes()
    for name in ("../../x", "irsi"):
        done = hostile.run_here("repro", name)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("repro: expected a dataset of catalog/ (breast_cancer, ")
        assert line.endswith(f"received {name!r}" + ("; did you mean 'iris'?" if name == "irsi" else ""))
    assert files(hostile) == before
    assert (hostile.folder / "params.yaml").read_bytes() == settings


@pytest.mark.parametrize(
    ("target", "variables", "words"),
    [
        ("repro", {"DATASETS": "wine x;touch$(F) it's"}, ["repro", "wine", "x;touch$(F)", "it's"]),
        ("repro", {}, ["repro"]),
        ("add-data", {"NAME": "a", "SOURCE": "a \"b`c`#$d.csv", "TARGET": "it's"},
         ["add-data", "--", "a", "a \"b`c`#$d.csv", "it's"]),
        ("add-data", {"NAME": "a", "SOURCE": "b", "TARGET": "-c, d", "SEPARATOR": "|"},
         ["add-data", "--separator", "|", "--", "a", "b", "-c, d"]),
        ("tune", {"DATASET": "a;b", "TRIALS": "$(x)"}, ["tune", "a;b", "--trials", "$(x)"]),
        ("serve", {"DATASET": "a b", "PORT": "1;2"}, ["serve", "a b", "--port", "1;2"]),
    ],
)  # fmt: skip
def test_make_hands_each_value_on_as_words_and_nothing_else(target: str, variables: dict, words: list) -> None:
    command = ["make", "--no-print-directory", "-n", target, "READY=", *(f"{k}={v}" for k, v in variables.items())]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shlex.split(shown)[3:] == words
