"""``clipiqa`` in processes of its own that need not import torch first: forked from one that has.

    jobs = Forked()
    job = jobs.start(["score", "photos", "--out", "scores.csv"], folder, out="full", err="left")
    job.kill(signal.SIGTERM); job.wait(); job.err

A standard stream is the name of a file in the folder, ``'full'`` (a disk), ``'closed'`` (as by ``>&-``) or ``'left'``,
a pipe that nobody reads any more. Images are scored by the stand-in metric where ``STANDIN=1`` is in the variables.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn


class Forked:
    """A process that has imported what the commands import, and forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(
        self,
        arguments: Sequence[object],
        folder: Path,
        *,
        out: str = "stdout",
        err: str = "stderr",
        stdin: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Job:
        """Begin a command in a folder."""
        said = {"argv": list(map(str, arguments)), "folder": str(folder), "variables": dict(variables or {})}
        return Job(self, self.ask({**said, "streams": [stdin, out, err]}), folder, out, err)

    def run(self, arguments: Sequence[object], folder: Path, **options: Any) -> Job:
        """A command that has ended."""
        job = self.start(arguments, folder, **options)
        job.wait()
        return job

    def ask(self, request: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Job:
    """A command under way; ``code`` is set once it was waited for."""

    jobs: Forked
    pid: int
    folder: Path
    _out: str
    _err: str
    code: int | None = None

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        if self.code is None:
            self.code = self.jobs.ask({"wait": self.pid})
        return self.code

    @property
    def out(self) -> str:
        return (self.folder / self._out).read_text(errors="backslashreplace")

    @property
    def err(self) -> str:
        path = self.folder / self._err
        return path.read_text(errors="backslashreplace") if path.is_file() else ""


def _connect(number: int, stream: str) -> None:
    """Make a file descriptor what a word says."""
    os.close(number)
    if stream == "closed":
        return
    if stream == "left":
        reading, writing = os.pipe()
        if reading == number:  # it took the very number that is to be written to
            reading = os.dup(reading)
        os.dup2(writing, number)
        os.close(writing)
        os.close(reading)
        return
    flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    opened = os.open({"full": "/dev/full", "": os.devnull}.get(stream, stream), flags, 0o666)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def _child(job: Mapping[str, Any]) -> int:
    import standin

    from clipiqa_pyiqa.cli import main

    os.chdir(job["folder"])
    os.environ |= job["variables"]
    for number, stream in reversed(list(enumerate(job["streams"]))):  # a closed one must not be taken by the next
        _connect(number, stream)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        closed = job["streams"][number] == "closed"
        mode = "r" if number == 0 else "w"
        file = None if closed else open(number, mode, closefd=False, errors="surrogateescape")  # noqa: SIM115
        setattr(sys, name, file)
    if sys.stderr is not None:
        sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.argv = ["clipiqa", *job["argv"]]
    return standin.main() if "STANDIN" in os.environ else main()


def _end(work: Callable[[], int]) -> NoReturn:
    """End as Python does with an exit code, but for what takes seconds: taking torch apart."""
    code = 1
    try:
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = 120
    os._exit(code)


def _serve() -> None:
    import importlib

    modules = ("pandas", "pyarrow.parquet", "matplotlib.figure", "scipy.stats", "pyiqa", "tqdm", "torchvision")
    ours = (
        "cli.scoring.score",
        "scoring.score",
        "comparison.run",
        "comparison.results",
        "figures",
        "learning.training",
    )
    for name in (*modules, *(f"clipiqa_pyiqa.{name}" for name in ours)):
        importlib.import_module(name)
    importlib.import_module("clipiqa_pyiqa.prompts.pairs").parse_prompts("quality")  # reads CLIP's vocabulary
    answers = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0), "r")
    while line := requests.readline():
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif not (answer := os.fork()):
            answers.close()
            requests.close()
            _end(lambda request=request: _child(request))
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    _serve()
