"""Commands and scripts run in one checkout, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]
"""The checkout that these scripts lie in."""


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit code (negative: a signal), wall seconds, processor seconds."""

    code: int
    seconds: float
    cpu: float


def environment(checkout: Path, folder: Path, weights: Path | None = None) -> dict[str, str]:
    """Environment variables that choose a checkout, and keep caches and entry points in ``folder``.

    Args:
        checkout: Whose package is imported.
        folder: For what the process keeps; it may exist.
        weights: Folder of checkpoints.
    """
    home, entry_points = folder / "home", folder / "entry_points"
    for place in (home, entry_points):
        place.mkdir(parents=True, exist_ok=True)
    # pyiqa finds the metric by its entry point: that of this checkout, whatever is installed.
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(entry_points)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    (folder / "matplotlibrc").write_text("svg.hashsalt: same\n")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return kept | {
        "PYTHONPATH": f"{entry_points}{os.pathsep}{checkout}",
        "PYTHONWARNINGS": "ignore::DeprecationWarning",  # old module paths warn, by intention; tests see to it
        "HOME": str(home),
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(Path.home() / ".cache/matplotlib")),  # its list of fonts
        "SOURCE_DATE_EPOCH": "0",  # dates in SVG
        "COLUMNS": "100",
        "PYTHONHASHSEED": "0",  # an unknown word that a warning names is the first of a set
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        **({"CLIPIQA_WEIGHTS_DIR": str(weights)} if weights else {}),
    }


def version_of(checkout: Path) -> str:
    """The package's version, read without importing it."""
    files = [checkout / "clipiqa_pyiqa" / name for name in ("version.py", "__init__.py")]
    text = next(file.read_text() for file in files if file.is_file())
    found = re.search(r'^__version__ = "(.+)"', text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{checkout} states no version of the package")
    return found[1]


class Runner:
    """A checkout's worker process; a context manager."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._worker = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(env),
        )  # fmt: skip
        self._answer()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._worker.stdin
        self._worker.stdin.close()
        self._worker.wait()

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        script: Path | None = None,
        stdin: str | None = None,
        stop: tuple[str, str, int, int] | None = None,
        env: Mapping[str, str] | None = None,
        slow_clock: bool = False,
    ) -> Ran:
        """Run ``clipiqa ARGV``, or a script; leaves ``stdout`` and ``stderr`` in ``cwd``.

        Args:
            argv: Arguments.
            cwd: Where it runs; made if missing.
            script: A Python file to run in place of the command.
            stdin: A file to read from, relative to ``cwd``.
            stop: Event, text in its path, how many of them, and the signal to send then: see ``worker.stop_at``.
            env: Further environment variables.
            slow_clock: Whether ``time.perf_counter`` all but stands still.
        """
        cwd.mkdir(parents=True, exist_ok=True)
        job = {
            **{"argv": list(argv), "cwd": str(cwd), "script": str(script) if script else None, "stdin": stdin},
            **{"stdout": str(cwd / "stdout"), "stderr": str(cwd / "stderr"), "stop": stop, "env": dict(env or {})},
            **{"slow_clock": slow_clock, "limit": 300},
        }
        assert self._worker.stdin
        print(json.dumps(job), file=self._worker.stdin, flush=True)
        return Ran(**self._answer())

    def _answer(self) -> Any:
        assert self._worker.stdout
        line = self._worker.stdout.readline()
        if not line:
            raise RuntimeError("the worker process has ended: see above")
        return json.loads(line)
