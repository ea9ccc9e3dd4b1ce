"""DVC's own commands, in this process, over datasets that `params.yaml` need not list."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import psutil

from contracts.files import write_atomically
from pipeline.tracking.locks import file_lock

STAGE = ["python", "-m", "pipeline.stages"]  # the command in dvc.yaml
FORKED = "pipeline.stages.forked"
FIRST = ("fetch", "preprocess", "train")
SIGNALLED = tuple(code for number in (signal.SIGINT, signal.SIGTERM) for code in (128 + number, -number))
INTERRUPTED = 130  # what `run_dvc` returns for a run that a signal has ended


def working_copy() -> contextlib.AbstractContextManager[None]:
    """A lock for commands that change settings or outputs. A second command says who holds it, and waits."""
    return file_lock("working-copy", "this working copy is in use")


def run_dvc(datasets: list[str], *arguments: str) -> int:
    """Run a command of DVC as if `datasets` of `params.yaml` also listed these datasets.

    SIGTERM ends the running stage, as Ctrl-C does, and then DVC.

    Returns:
        0, 1 if a stage or DVC failed, or `INTERRUPTED`.
    """
    from dvc.cli import main  # the import takes a second

    before = signal.signal(signal.SIGTERM, end_stage)
    try:
        with _listed_as_well(datasets), _lock_file_remembered(), _forked_stages():
            code = main(list(arguments))
            return INTERRUPTED if code == 252 else int(code != 0)  # 252: DVC's code for a KeyboardInterrupt
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _listed_as_well(datasets: list[str]) -> Iterator[None]:
    """Extend the matrix of `dvc.yaml` in memory.

    DVC has no option for it: `dvc exp run -S datasets=…` writes `params.yaml` anew, and removes the outputs of the
    datasets that are listed no more. Each `dvc exp run` begins with `dvc checkout`, which removes every output that DVC
    remembers and no stage has. So DVC is kept from remembering the outputs of this run.
    """
    from dvc.parsing.context import Context
    from dvc_data.hashfile.state import State

    load_from_vars = Context.load_from_vars

    def load_and_extend(context: Any, *args: Any, **kwargs: Any) -> None:
        load_from_vars(context, *args, **kwargs)
        if "default" in kwargs:  # the variables of dvc.yaml, which come from params.yaml; not those of a single stage
            listed = [*context["datasets"].value, *datasets]
            context.merge_update(Context({"datasets": list(dict.fromkeys(listed))}), overwrite=True)

    with patch.object(Context, "load_from_vars", load_and_extend), patch.object(State, "set_link"):
        yield


@contextlib.contextmanager
def _lock_file_remembered() -> Iterator[None]:
    """Change `dvc.lock` after each stage from what was written last, and write it in one step.

    DVC reads it anew each time with a parser in Python, which takes half a second for four datasets.
    """
    from dvc import dvcfile
    from dvc.utils.serialize import dumps_yaml, loads_yaml

    modify, written = dvcfile.modify_yaml, dict[str, Any]()

    @contextlib.contextmanager
    def modify_from_memory(path: str, fs: Any = None) -> Iterator[Any]:
        file = Path(path)
        if file.name != "dvc.lock" or not file.exists():
            with modify(path, fs=fs) as data:
                yield data
            return
        text = file.read_text(encoding="utf-8")
        data = written[text] if text in written else loads_yaml(text)
        yield data
        written.clear()
        written[text := dumps_yaml(data)] = data
        with write_atomically(file) as unfinished:
            unfinished.write_text(text, encoding="utf-8")

    with patch.object(dvcfile, "modify_yaml", modify_from_memory):
        yield


@contextlib.contextmanager
def _forked_stages() -> Iterator[None]:
    """Run the stages after the first in forks of one process, which imports the modules that they need while the first
    stage runs. If nothing before `select` is out of date, the remaining stages take less time than these imports.

    A stage that a signal has ended raises KeyboardInterrupt, so that no other one starts.
    """
    from dvc.stage import run
    from dvc.stage.exceptions import StageCmdFailedError

    start = run._run
    forks: list[Forks] = []

    def run_stage(executable: str | None, command: str, **options: Any) -> None:
        words, code = shlex.split(command), None
        if words[:3] == STAGE and forks:
            code = forks[0].run(words[3:], options["env"])
        elif words[:3] == STAGE and words[3] in FIRST:
            forks.append(Forks(options["cwd"], options["env"]))
        try:
            if code is None:
                start(executable, command, **options)
            elif code:
                raise StageCmdFailedError(command, code)
        except StageCmdFailedError as error:
            if int(str(error).rpartition(" ")[2]) in SIGNALLED:
                raise KeyboardInterrupt from None
            raise

    with patch.object(run, "_run", run_stage):
        try:
            yield
        finally:
            for process in forks:
                process.close()


class Forks:
    """The process `pipeline.stages.forked`, to which stages are sent."""

    def __init__(self, folder: str, environment: dict[str, str]) -> None:
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        self.process = subprocess.Popen(
            [*STAGE[:2], FORKED, str(commands), str(answers)],
            cwd=folder, env=environment, pass_fds=(commands, answers),
        )  # fmt: skip
        os.close(commands)
        os.close(answers)

    def run(self, arguments: list[str], environment: dict[str, str]) -> int | None:
        """The exit code of a stage; None if its code has changed, so that it must be started as a new process."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage handles it, and DVC ignores it as well
        try:
            os.write(self.commands, json.dumps([arguments, environment]).encode() + b"\n")
            answer = os.read(self.answers, 64)
        except BrokenPipeError:
            answer = b""
        finally:
            signal.signal(signal.SIGINT, before)
        if not answer:  # the process is gone
            return 128 + max(-self.process.wait(), 0)
        return int(answer) if answer.strip() else None

    def close(self) -> None:
        os.close(self.commands)
        os.close(self.answers)
        try:
            self.process.wait(2)  # it removes its temporary files
        except subprocess.TimeoutExpired:
            self.process.kill()  # no stage runs in the process, which still imports
            self.process.wait()


def end_stage(signum: int, frame: FrameType | None) -> None:
    """Handle a signal: end the running stage, or this process if no stage runs."""
    processes = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            processes.append((child, child.ppid(), child.cmdline()))
    forks = {child.pid for child, parent, words in processes if FORKED in words and parent == os.getpid()}
    running = [
        child for child, parent, words in processes if STAGE[2] in words or (FORKED in words and parent in forks)
    ]
    for stage in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            stage.terminate()
    if not running:
        sys.exit(128 + signum)
