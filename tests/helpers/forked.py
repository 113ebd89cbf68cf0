"""``clipiqa`` in processes of its own that need not import torch first: forked from one that has.

    jobs = Forked()
    job = jobs.start("score photos --out scores.csv", folder, out="full", err="left")
    job.kill(signal.SIGTERM); job.wait(); job.err

A standard stream is the name of a file in the folder, ``'full'`` (a disk), ``'closed'`` (as by ``>&-``) or ``'left'``,
a pipe that nobody reads any more. Images are scored by the stand-in metric where ``STANDIN=1`` is in the variables.

``jobs.start(code=…)`` runs lines of Python in place of a command, and ``jobs.call`` functions of a test's module.
``Bare()`` is for code that imports us itself, or pyiqa, or open_clip; ``Forked(bare)`` is forked from it.
"""

import importlib
import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path


class Bare:
    """A process that has imported what ours and pyiqa build upon, and forks."""

    def __init__(self):
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},  # which are read when it imports
        )
        self._requests = process.stdin
        self._answers = process.stdout
        self._wait = process.wait

    def start(self, line, folder, *, code=None, out="stdout", err="stderr", variables=()):
        """Begin a command, whose words are apart by spaces, in a folder; or ``code``, with these arguments."""
        said = {"argv": line.split(), "folder": str(folder), "variables": dict(variables), "code": code}
        return Job(self, self.ask({**said, "streams": [out, err]}), folder, out, err)

    def run(self, line, folder, **options):
        """A command that has ended."""
        job = self.start(line, folder, **options)
        job.wait()
        return job

    def call(self, function, *each, folder):
        """Exit codes of calls of a function at the top of a module, all at once, with their arguments."""
        path = Path(inspect.getfile(function))
        jobs = [
            self.start(
                "", folder, out=f"out{number}", err=f"err{number}", code=f"import pickle\nfrom runpy import run_path\n"
                f"run_path({str(path)!r})[{function.__name__!r}](*pickle.loads({pickle.dumps(arguments)!r}))",
            )
            for number, arguments in enumerate(each)
        ]  # fmt: skip
        codes = [job.wait() for job in jobs]
        print(*(job.err for job in jobs))  # which pytest shows where a test fails
        return codes

    def ask(self, request):
        print(json.dumps(request), file=self._requests, flush=True)
        return int(self._answers.readline())

    def close(self):
        self._requests.close()
        self._wait()


class Forked(Bare):
    """A process that has imported what the commands import, and forks."""

    def __init__(self, bare, folder):
        pipes = [str(folder / name) for name in ("requests", "answers")]
        for pipe in pipes:
            os.mkfifo(pipe)
        pid = bare.ask({"serve": pipes})
        self._requests, self._answers = (open(pipe, mode) for pipe, mode in zip(pipes, "wr", strict=True))  # noqa: SIM115
        self._wait = lambda: bare.ask({"wait": pid})


@dataclass
class Job:
    """A command under way; ``code`` is set once it was waited for."""

    jobs: Forked
    pid: int
    folder: Path
    _out: str
    _err: str
    code: int | None = None

    def kill(self, number):
        os.kill(self.pid, number)

    def wait(self):
        if self.code is None:
            self.code = self.jobs.ask({"wait": self.pid})
        return self.code

    @property
    def out(self):
        return (self.folder / self._out).read_text(errors="backslashreplace")

    @property
    def err(self):
        path = self.folder / self._err
        return path.read_text(errors="backslashreplace") if path.is_file() else ""


def _connect(number, stream):
    """Make a file descriptor what a word says."""
    if stream == "closed":
        os.close(number)
        return
    if stream == "left":
        reading, opened = os.pipe()
        os.close(reading)
    else:
        opened = os.open({"full": "/dev/full", "": os.devnull}.get(stream, stream), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, number)
    os.close(opened)


def _child(job):
    os.chdir(job["folder"])
    os.environ |= job["variables"]
    for number, name, stream in zip((1, 2), ("stdout", "stderr"), job["streams"], strict=True):
        _connect(number, stream)
        file = None if stream == "closed" else open(number, "w", closefd=False, errors="surrogateescape")  # noqa: SIM115
        setattr(sys, name, file)
    if sys.stderr is not None:
        sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.argv = ["clipiqa", *job["argv"]]
    if job["code"] is not None:
        exec(compile(job["code"], "<code>", "exec"), {"__name__": "__main__"})
        return 0
    from metrics import main_with_brightness

    from clipiqa_pyiqa.workbench.commands import main

    return main_with_brightness() if "STANDIN" in os.environ else main()


def _end(work):
    """End as Python does with an exit code, but for what takes seconds: taking torch apart."""
    code = 1
    try:
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = 120
    os._exit(code)


def _import(names, package=""):
    for name in names.split():
        importlib.import_module(package + name)


def _serve_commands(pipes):
    with open(pipes[0]) as requests, open(pipes[1], "w") as answers:
        _import("pyiqa")
        ours = "commands.score scoring.score compare.compare compare.comparison experiments.radar_chart learning.train"
        _import(ours, "clipiqa_pyiqa.workbench.")
        importlib.import_module("clipiqa_pyiqa.prompts.pairs").parse_prompts("quality")  # reads CLIP's vocabulary
        importlib.import_module("seeded").set_depth("FEW_LAYERS" in os.environ)
        _serve(requests, answers)


def _serve(requests, answers):
    while line := requests.readline():
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif not (answer := os.fork()):
            answers.close()
            requests.close()
            _end(lambda request=request: _serve_commands(request["serve"]) if "serve" in request else _child(request))
        print(answer, file=answers, flush=True)
    os._exit(0)  # taking torch apart takes seconds


if __name__ == "__main__":
    _import("cv2 matplotlib.figure pandas pyarrow.parquet scipy.stats timm torch._dynamo tqdm")
    _import("torchvision transformers")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background of a shell
    lines = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    _connect(0, "")
    _serve(*lines)
