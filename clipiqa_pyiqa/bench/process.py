"""Measurements that need a process of their own: the peak of memory, and creation without anything left from before.

``python -m clipiqa_pyiqa.bench.process`` is the process; it reads a :class:`Task` and writes one line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..images.memory import give_back_memory
from .subject import Subject


class NotMeasured(RuntimeError):
    """A measurement could not be taken; the message says why."""


@dataclass(frozen=True)
class Task:
    """What the process does.

    Attributes:
        kind: ``'score'`` or ``'loss'`` (forward and backward) for the peak of memory, ``'create'`` for times.
        subject: :meth:`Subject.to_json`.
        shape: of the images.
        threads: for torch.
    """

    kind: str
    subject: str
    shape: tuple[int, int, int, int]
    threads: int


def peak_memory(kind: str, subject: Subject, shape: tuple[int, int, int, int], threads: int) -> int:
    """Bytes at the peak of scoring or of a loss's step, beyond the loaded model; images and their gradient included.

    Raises:
        NotMeasured: if the process ends before its time, as it does when memory runs out.
    """
    return int(_in_process(Task(kind, subject.to_json(), shape, threads))["peak"])


def creation_seconds(subject: Subject, threads: int) -> tuple[float, float]:
    """Seconds of creating the metric in a fresh process, all modules imported; and of its first 1×224² score.

    Raises:
        NotMeasured: if the process ends before its time.
    """
    answer = _in_process(Task("create", subject.to_json(), (1, 3, 224, 224), threads))
    return answer["create"], answer["first score"]


def step(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One step of a loss: the mean score, forward, and backward to the pixels; returns their gradient."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(net(x).mean(), x)[0]


def _in_process(task: Task) -> dict[str, Any]:
    command = [sys.executable, "-m", __name__, json.dumps(asdict(task))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(task.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode < 0:
        raise NotMeasured(f"its process was ended by signal {-done.returncode}; did memory run out?")
    if done.returncode:
        raise NotMeasured(f"its process failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(task: Task) -> dict[str, float]:
    torch.set_num_threads(task.threads)
    subject = Subject.from_json(task.subject)
    return _creation(subject) if task.kind == "create" else _peak(task, subject)


def _creation(subject: Subject) -> dict[str, float]:
    if subject.side != "ours":
        import pyiqa.archs.clip_model

        if subject.side == "built-in":
            import pyiqa.archs.clipiqa_arch  # noqa: F401
    x = torch.rand(1, 3, 224, 224, device=subject.device)
    start = time.perf_counter()
    net = subject.build()
    created = time.perf_counter()
    with torch.inference_mode():
        net(x).item()
    return {"create": created - start, "first score": time.perf_counter() - created}


def _peak(task: Task, subject: Subject) -> dict[str, float]:
    net = subject.build()
    run = step if task.kind == "loss" else torch.inference_mode()(lambda net, x: net(x))
    run(net, torch.rand(1, 3, 64, 64, device=subject.device))  # loads what loads with the first image
    gc.collect()
    give_back_memory()  # so that a variant cannot hide its use in what creation freed
    if subject.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(subject.device)
        before = torch.cuda.memory_allocated(subject.device)
    else:
        before = _forget_peak()
    run(net, torch.rand(task.shape, device=subject.device))
    peak = torch.cuda.max_memory_allocated(subject.device) if subject.device.startswith("cuda") else _peak_resident()
    return {"peak": peak - before}


def _forget_peak() -> int:
    """Bytes resident now, from where Linux is told to count the peak anew; elsewhere the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak_resident()
    return _status("VmRSS")


def _peak_resident() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        pass  # not Linux
    try:
        import resource
    except ImportError:
        raise NotMeasured("this system does not tell a process its peak of memory") from None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(field: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s*(\d+) kB", text, re.MULTILINE)
    assert found, text
    return int(found[1]) * 1024


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    print(json.dumps(_measure(Task(**{**task, "shape": tuple(task["shape"])}))))
