"""Approval: which version is the champion, who approved it, when and why; and how often test rows were read."""

import contextlib
import getpass
import subprocess
from datetime import UTC, datetime

from contracts.errors import UserError
from pipeline.tracking import registry, runs
from pipeline.tracking.locks import file_lock
from pipeline.tracking.registry import CHALLENGER, CHAMPION, MlflowClient, MlflowException

AUTOMATIC = "select (automatic)"
APPROVED = "approved."  # prefix of a version's tags, one for each approval: the time, and who approved it and why
GATES = "gates"  # tag of a version's run, or of the version: `passed`, or a text that begins with `failed`
TEST_READS = "test_reads."  # prefix of a registered model's tags, one for each md5 of test rows
LONGEST_NOTE = 1000


def replace_champion(client: MlflowClient, dataset: str, version: str, present: str | None, who: str, why: str) -> None:
    """Record an approval as a tag of the version, and move the alias `champion` to it.

    Args:
        present: the champion that the version was compared with.

    Raises:
        UserError: if another version has become the champion meanwhile; then nothing has changed.
    """
    with file_lock(f"champion-{dataset}", f"the champion of {dataset} is being changed"):
        champion = registry.champion(client, dataset)
        if champion != present:
            last = approvals(client, dataset, champion)[-1:] if champion else []
            by = f" ({' '.join(last[0])})" if last else ""
            raise UserError(
                f"the champion of {dataset} has changed from version {present} to version {champion}{by} meanwhile: "
                "nothing was changed now; look at it, and run the same command again"
            )
        _make_champion(client, dataset, version, who, why)


def _make_champion(client: MlflowClient, dataset: str, version: str, who: str, why: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    client.set_model_version_tag(dataset, version, f"{APPROVED}{now}", f"{who}: {why}"[:4000])
    client.set_registered_model_alias(dataset, CHAMPION, version)
    if registry.with_alias(client, dataset, CHALLENGER) == version:
        client.delete_registered_model_alias(dataset, CHALLENGER)


def approve(client: MlflowClient, dataset: str, version: str, present: str | None, note: str, force: bool) -> None:
    """Make a version the champion in a person's name.

    Args:
        present: the champion that the person has seen; another champion means that somebody else was faster.
        force: approve although a gate failed; the record says so.

    Raises:
        UserError: if it is refused; then nothing has changed.
    """
    gates = verdict(client, dataset, version)
    failed = gates.startswith("failed")
    if len(note) > LONGEST_NOTE:
        raise UserError(f"NOTE: expected at most {LONGEST_NOTE} characters, received {len(note)}")
    if failed and not force:
        raise UserError(
            f"version {version} of {dataset} did not pass its gates ({gates}): expected a version that did, or FORCE=1 "
            "with a NOTE that says why, which is recorded"
        )
    if failed and not note.strip():
        raise UserError('NOTE: FORCE=1 expects a note that says why, received none: NOTE="…"')
    why = note.strip() or f"in the place of version {present}"
    why = f"{why} (FORCE: {gates})" if failed else why
    replace_champion(client, dataset, version, present, whoever_runs_this(), why)


def verdict(client: MlflowClient, dataset: str, version: str) -> str:
    """The last verdict of the gates on a version; empty if no gate was set."""
    found = client.get_model_version(dataset, version)
    run = client.get_run(found.run_id).data.tags if found.run_id and runs.run_exists(client, found.run_id) else {}
    return str(run.get(GATES) or found.tags.get(GATES, ""))


def approvals(client: MlflowClient, dataset: str, version: str) -> list[tuple[str, str]]:
    """The time of each approval of a version, and who approved it and why; the oldest first."""
    tags = client.get_model_version(dataset, version).tags
    return sorted((key.removeprefix(APPROVED), text) for key, text in tags.items() if key.startswith(APPROVED))


def count_test_read(client: MlflowClient, dataset: str, test_md5: str) -> int:
    """Count one more reading of test rows, and return how often they were read by now."""
    with file_lock(f"champion-{dataset}", f"the champion of {dataset} is being changed"):
        with contextlib.suppress(MlflowException):  # it exists
            client.create_registered_model(dataset)
        n = test_reads(client, dataset, test_md5) + 1
        client.set_registered_model_tag(dataset, f"{TEST_READS}{test_md5}", str(n))
    return n


def test_reads(client: MlflowClient, dataset: str, test_md5: str) -> int:
    """How often these test rows were read."""
    return int(client.get_registered_model(dataset).tags.get(f"{TEST_READS}{test_md5}", 0))


def whoever_runs_this() -> str:
    """The person who runs the command: the name in git's settings, else the login name."""
    parts = [
        subprocess.run(["git", "config", f"user.{key}"], capture_output=True, text=True, check=False).stdout.strip()
        for key in ("name", "email")
    ]
    named = " ".join(f"<{part}>" if "@" in part else part for part in parts if part)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an account
        return "unknown"
