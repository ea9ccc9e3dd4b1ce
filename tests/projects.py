"""A copy of this repository with a small budget, in which tests run its commands."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import requests

from pipeline.commands import __main__ as commands
from tests.ports import free_port
from tests.settings_files import change_yaml

ROOT = Path(__file__).parent.parent
COMMANDS = (sys.executable, "-m", "pipeline.commands")  # what the Makefile calls

# Runs at the start of every Python process of the copied project, and notes at its end which packages a
# stage has loaded: tests/test_experiments.py compares them with what the stage may load.
SITECUSTOMIZE = """
import atexit, os, sys

def note():
    if "pipeline.stages" in sys.orig_argv:  # not those that are forked
        stage = sys.argv[1] if len(sys.argv) > 1 else "none"
        loaded = sorted({name.partition(".")[0] for name in sys.modules})
        with open(os.path.join(os.environ["LOADED_PACKAGES"], stage), "w") as file:
            file.write("\\n".join(loaded))

if "LOADED_PACKAGES" in os.environ:
    atexit.register(note)
"""


class Project:
    """A copy of this repository with a small budget, as a fresh clone would be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded = folder.parent / "loaded"
        self.site = folder.parent / "site"

    def environment(self) -> dict[str, str]:
        """The variables of a process in the copy: none that would lead it out of there."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OPTUNA_", "DVC_", "BENTOML_"))}
        env |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
            "PYTHONPATH": str(self.site),
            "LOADED_PACKAGES": str(self.loaded),
            "DVC_NO_ANALYTICS": "1",
        }
        return env

    def run(self, *command: str, check: bool = True, timeout: float = 280):
        """Run a command in the copy."""
        env = self.environment()
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def run_here(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `pipeline.commands` in this process: its start would take longer than its work."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["commands", *words])
            patch.setenv("DVC_ROOT", str(self.folder))
            patch.setenv("BENTOML_HOME", str(self.folder / "var/bentoml"))
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{self.folder / 'var/mlflow.db'}")
            code = commands.main()
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def serve(self, dataset: str) -> Iterator[str]:
        """The address of a real `bentoml serve` of a dataset's Bento, started as `make serve` does."""
        port = free_port()
        server = subprocess.Popen(
            [*COMMANDS, "serve", dataset, "--port", str(port)],
            cwd=self.folder, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            for _ in range(600):
                try:
                    if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).ok:
                        break
                except requests.RequestException:
                    time.sleep(0.1)
            else:
                raise AssertionError("the service is not ready after a minute")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0, "the service ends in order"

    def change_params(self, change: Callable[[dict], None]) -> None:
        change_yaml(self.folder / "params.yaml", change)


def copy_project(folder: Path) -> Project:
    """The tracked and the new files of this repository in a repository of their own, with one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    skipped = ("dvc.lock", "metrics/")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(skipped):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    project = Project(folder)
    project.loaded.mkdir()
    project.site.mkdir()
    (project.site / "sitecustomize.py").write_text(SITECUSTOMIZE)

    def make_small(params: dict) -> None:
        params["datasets"] = ["iris"]
        params["search"]["n_trials"] = 3
        params["search"]["workers"] = 1
        params["search"]["keep"] = 2
        params["train"]["epochs"] = 30
        params["evaluate"]["bootstrap_samples"] = 50

    project.change_params(make_small)
    project.run("git", "init", "-q", "-b", "main")
    # DVC's experiments are commits, so that git must know whose.
    project.run("git", "config", "user.name", "tests")
    project.run("git", "config", "user.email", "tests@localhost")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "The project under test")
    return project
