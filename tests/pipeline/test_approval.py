"""Who made a version the champion, when and why; where a version comes from; how often test rows were read."""

import json
import shutil
import signal
import tarfile
from pathlib import Path
from threading import Thread

import pytest

from contracts.bundle import open_bundle, seal
from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.commands import registry as commands
from pipeline.environment import prepare_environment
from pipeline.paths import Paths
from pipeline.stages import evaluate, fetch, package, preprocess, select
from pipeline.tracking import approval, lineage, registry, runs
from tests.settings_files import copy_settings

ROOT = Path(__file__).parent.parent.parent


class Work:
    """Iris, prepared, with one candidate, whose winner waits for approval."""

    def __init__(self, folder: Path) -> None:
        params = load_params(ROOT / "params.yaml", "iris")
        self.params = params.model_copy(update={"select": params.select.model_copy(update={"approval": "manual"})})
        self.paths = Paths("iris", folder)
        fetch.run(params, self.paths)
        preprocess.run(params, self.paths)
        with tarfile.open(ROOT / "tests/files/made_by_aea4a9c.tar.xz") as archive:
            archive.extractall(folder / "older", filter="data")
        shutil.copytree(folder / "older/bundle", self.paths.candidates / "1")
        (self.paths.candidates / "trials.csv").write_text("number\n0\n")
        self.client, _ = runs.connect("iris")

    def select(self) -> dict:
        select.run(self.params, self.paths)
        return json.loads(self.paths.selection.read_text())

    def champion(self) -> str | None:
        return registry.champion(self.client, "iris")

    def challenger(self) -> str | None:
        return registry.with_alias(self.client, "iris", registry.CHALLENGER)

    def approve(self, version: str, present: str | None, note: str = "looked at", force: bool = False) -> None:
        approval.approve(self.client, "iris", version, present, note, force)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("approval")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
            patch.delenv(f"{name}_NAME", raising=False)
        patch.setenv("GIT_CONFIG_COUNT", "2")
        for i, (key, value) in enumerate((("user.name", "Ada"), ("user.email", "ada@example.org"))):
            patch.setenv(f"GIT_CONFIG_KEY_{i}", key)
            patch.setenv(f"GIT_CONFIG_VALUE_{i}", value)
        prepare_environment()
        yield Work(folder)


@pytest.fixture(scope="module")
def first(work: Work) -> Work:
    """Nothing is served before the first winner is approved, which is registered once."""
    for _ in range(2):
        with pytest.raises(UserError, match=r'make approve DATASET=iris VERSION=1 NOTE="…".*nothing can be served'):
            work.select()
        assert (work.champion(), work.challenger()) == (None, "1")
        assert json.loads(work.paths.selection.read_text())["version"] is None
        assert not work.paths.bundle.exists()
    assert registry.versions(work.client, "iris") == ["1"]
    return work


@pytest.fixture(scope="module")
def approved(first: Work) -> Work:
    first.approve("1", None)
    return first


@pytest.fixture(scope="module")
def second(approved: Work) -> Work:
    """A candidate for another split, to which the champion cannot be compared, waits; the champion is served."""
    manifest, _ = open_bundle(approved.paths.candidates / "1")
    seal(approved.paths.candidates / "1", manifest.model_copy(update={"train_md5": "ab" * 16}))
    other = approved.params.preprocess.model_copy(update={"seed": 1})
    approved.params = approved.params.model_copy(update={"preprocess": other})
    preprocess.run(approved.params, approved.paths)
    selection = approved.select()
    assert (selection["version"], selection["challenger"]) == ("1", "2")
    return approved


def test_an_approval_is_recorded_and_makes_the_champion(approved: Work, capsys) -> None:
    ((when, record),) = approval.approvals(approved.client, "iris", "1")
    assert record == "Ada <ada@example.org>: looked at"
    assert when.startswith("20")
    assert when.endswith("Z")
    assert approved.select()["version"] == "1"
    assert approved.champion() == "1"
    assert "is served as version 1" in capsys.readouterr().out


def test_the_lineage_of_a_version_names_everything_it_comes_from(approved: Work) -> None:
    manifest, schema = open_bundle(approved.paths.candidates / "1")
    now = approved.params.model_dump(mode="json", by_alias=True)
    found = lineage.of_version(approved.client, "iris", "1", now)
    assert found["run"] == manifest.mlflow_run_id
    assert manifest.study in found["trial"]
    assert manifest.git_revision == found["code"]
    for digest in (schema.raw_md5, manifest.validation_md5):
        assert digest in found["data"]
    assert found["settings"] == "as now"
    assert "requirements.lock" in found["environment"]
    assert "Ada" in found["approved"]
    assert "DATASET=iris" in found["proof"]
    now["train"]["patience"] = 7
    assert lineage.of_version(approved.client, "iris", "1", now)["settings"] == "train.patience was 20, is 7"


def test_data_leads_to_the_versions_that_come_from_it(approved: Work) -> None:
    _, schema = open_bundle(approved.paths.candidates / "1")
    assert ("iris", "1", "raw") in lineage.trained_on(approved.client, schema.raw_md5[:8])
    assert lineage.trained_on(approved.client, "f" * 32) == []


def test_a_new_winner_waits_while_the_champion_is_served(second: Work, capsys) -> None:
    assert (second.champion(), second.challenger()) == ("1", "2")
    assert open_bundle(second.paths.bundle)[0].train_md5 != "ab" * 16
    second.select()
    said = capsys.readouterr().out
    assert 'waits for approval: make approve DATASET=iris VERSION=2 NOTE="…"' in said
    assert "Version 1 is served meanwhile" in said
    assert registry.versions(second.client, "iris") == ["1", "2"]


def test_a_version_that_failed_a_gate_is_refused_unless_forced_with_a_note(second: Work) -> None:
    second.client.set_model_version_tag("iris", "2", approval.GATES, "failed: rmse above 3")
    with pytest.raises(UserError, match=r"failed: rmse above 3\).*FORCE=1"):
        second.approve("2", "1")
    with pytest.raises(UserError, match="FORCE=1 expects a note"):
        second.approve("2", "1", note=" ", force=True)
    with pytest.raises(UserError, match="at most 1000 characters"):
        second.approve("2", "1", note="x" * 1001, force=True)
    assert (second.champion(), approval.approvals(second.client, "iris", "2")) == ("1", [])
    second.approve("2", "1", note="urgent", force=True)
    assert second.champion() == "2"
    assert second.challenger() is None
    ((_, record),) = approval.approvals(second.client, "iris", "2")
    assert record.endswith(": urgent (FORCE: failed: rmse above 3)")
    second.client.set_model_version_tag("iris", "2", approval.GATES, "passed")


def test_of_two_approvals_at_once_one_wins_and_the_other_is_told(second: Work) -> None:
    present, told = second.champion(), []

    def approve(version: str) -> None:
        try:
            second.approve(version, present)
        except UserError as error:
            told.append(str(error))

    people = [Thread(target=approve, args=[version]) for version in ("1", "1")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert second.champion() == "1"
    (message,) = told
    assert f"has changed from version {present} to version 1" in message
    assert "Ada" in message


def test_every_reading_of_the_test_rows_is_counted(second: Work, capsys) -> None:
    for said in ("once", "2 times"):
        evaluate.run(second.params, second.paths)
        assert f"these test rows were read {said}" in capsys.readouterr().out
    digest = lineage.test_md5(second.paths)
    assert digest is not None
    assert approval.test_reads(second.client, "iris", digest) == 2
    assert approval.test_reads(second.client, "iris", "other rows") == 0


@pytest.fixture
def in_project(second: Work, monkeypatch: pytest.MonkeyPatch) -> Work:
    copy_settings(second.paths.root)
    monkeypatch.chdir(second.paths.root)
    return second


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\xff", "{}"])
def test_a_damaged_selection_stops_every_reader_with_one_message_and_moves_nothing(in_project: Work, text: str) -> None:
    selection, before = in_project.paths.selection, in_project.champion()
    whole = selection.read_bytes()
    selection.write_text(text, encoding="latin-1")
    try:
        for read in (
            lambda: commands.approve("iris", "2", note="why"),
            lambda: commands.promote("iris", "2"),
            lambda: package.run(in_project.params, in_project.paths),
        ):
            with pytest.raises(UserError, match=r"selection\.json is damaged: expected a JSON object"):
                read()
        assert in_project.champion() == before
        assert selection.read_text(encoding="latin-1") == text
    finally:
        selection.write_bytes(whole)


def test_ctrl_c_waits_until_dvc_has_recorded_an_approval(in_project: Work, monkeypatch) -> None:
    ran = []

    def run_dvc(_: list[str], command: str, *arguments: str) -> int:
        signal.raise_signal(signal.SIGINT)
        ran.append(command)
        return 0

    monkeypatch.setattr(commands, "run_dvc", run_dvc)
    with pytest.raises(KeyboardInterrupt):
        commands.approve("iris", in_project.champion(), note="why")
    assert ran == ["commit"]


def test_a_selection_that_is_not_there_is_told(in_project: Work) -> None:
    moved = in_project.paths.selection.rename(in_project.paths.selection.with_suffix(".away"))
    try:
        with pytest.raises(UserError, match=r"selection\.json: No such file or directory; run `make repro`"):
            commands.approve("iris", "2", note="why")
    finally:
        moved.rename(in_project.paths.selection)


def test_a_winner_whose_rows_are_gone_is_not_trained_again(in_project: Work) -> None:
    (in_project.paths.prepared / "train.parquet").unlink()
    with pytest.raises(UserError, match="received none: run `make repro DATASETS=iris` first"):
        commands.retrain("iris", None)
