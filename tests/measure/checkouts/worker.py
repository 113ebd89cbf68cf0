"""A process that has imported the libraries a checkout stands on, and forks for every command: no wait for torch.

Run as a script by ``runner.py``. It reads one JSON object per line from standard input, runs the command in a forked
child, and answers with one: the exit code (negative: the signal), wall seconds and processor seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from typing import Any

sys.path.pop(0)  # this folder


def import_libraries() -> None:
    """Import what commands import, but nothing of the checkout's."""
    for name in (
        *("torch.utils.tensorboard", "torchvision", "pyiqa", "open_clip", "pandas", "pyarrow.parquet"),
        *("matplotlib.figure", "scipy.stats", "scipy.optimize"),
    ):
        importlib.import_module(name)
    ours = [name for name in sys.modules if name.partition(".")[0] == "clipiqa_pyiqa"]
    assert not ours, f"pyiqa has imported {ours} by itself: commands would not start as they do for a user"


def stop_at(event: str, text: str, number: int, sent: int) -> None:
    """Send this process a signal at an audited event: the given number of different files opened, or of renamings.

    Args:
        event: ``'open'`` or ``'os.rename'``.
        text: What the path, or the new name, holds.
        number: Of the event, from 1.
        sent: The signal.
    """
    seen: list[str] = []

    def hook(name: str, args: tuple[Any, ...]) -> None:
        if name != event or not isinstance(args[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(args[name == "os.rename"])
        if text in path and (path not in seen or name == "os.rename"):
            seen.append(path)
            if len(seen) == number:
                os.kill(os.getpid(), sent)

    sys.addaudithook(hook)


def child(job: dict[str, Any]) -> int:
    """Run the command as ``clipiqa`` or ``python SCRIPT`` would; returns the exit code."""
    os.chdir(job["cwd"])
    for number, name, flags in (
        (0, job["stdin"] or os.devnull, os.O_RDONLY),
        (1, job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(name, flags), number)
    sys.stdin = os.fdopen(0, closefd=False)
    os.environ.update(job["env"])
    if job["slow_clock"]:  # durations that are shown become 0.0 in every run
        real = time.perf_counter
        time.perf_counter = lambda: real() * 1e-9
    if job["stop"]:
        stop_at(*job["stop"])
    try:
        if job["script"]:
            sys.argv = [job["script"], *job["argv"]]
            runpy.run_path(job["script"], run_name="__main__")
        else:
            sys.argv = ["clipiqa", *job["argv"]]
            return importlib.import_module("clipiqa_pyiqa.cli").main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    jobs = os.fdopen(os.dup(0), buffering=1)
    import_libraries()
    print(json.dumps({"ready": True}), file=answers)
    for line in iter(jobs.readline, ""):
        job = json.loads(line)
        start = time.perf_counter()
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = 1
            try:
                signal.alarm(job["limit"])
                code = child(job)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status, used = os.wait4(pid, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "seconds": time.perf_counter() - start}
        print(json.dumps({**answer, "cpu": used.ru_utime + used.ru_stime}), file=answers)


if __name__ == "__main__":
    main()
