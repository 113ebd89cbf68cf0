"""How long `clipiqa score` takes beside other work, with and without the wait policy that commands set.

python tests/measure/busy_machine.py PHOTOS [--count 24] [--rounds 3] [--busy 2]

Per round, four runs of the same command on the same photos, in turns: idle and beside busy processes, each with
OMP_WAIT_POLICY=PASSIVE, which commands set, and without it. Printed are seconds, start included.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SPIN = "while True: pass"
SCORE = "import sys, torch; from clipiqa_pyiqa.cli import main; sys.exit(main())"  # torch reads the policy first


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep processes busy in a context."""
    running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def seconds(photos: list[str], passive: bool) -> float:
    """Return how long the command takes, with the wait policy or without it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    if passive:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SCORE, "score", *photos, "-b", "mini", "-q", "-o", f"{folder}/scores.csv"]
        begun = time.monotonic()
        subprocess.run(command, env=environment, check=True)
        return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder")
    parser.add_argument("--count", type=int, default=24, help="photos drawn from it (default: 24)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=2, help="busy processes beside (default: 2)")
    args = parser.parse_args()
    files = sorted(str(path) for path in args.photos.rglob("*.jpg"))
    photos = random.Random(0).sample(files, args.count)
    seconds(photos, True)  # files are read for the first time
    taken: dict[tuple[int, bool], list[float]] = {}
    for number in range(args.rounds):
        for others in (0, args.busy):
            for passive in (False, True) if number % 2 else (True, False):
                with busy(others):
                    taken.setdefault((others, passive), []).append(seconds(photos, passive))
    for (others, passive), values in sorted(taken.items()):
        said = ", ".join(f"{value:.1f}" for value in values)
        what = f"{others} busy processes, {'with' if passive else 'without'} the policy"
        print(f"{what}: {said} s, median {statistics.median(values):.1f} s")


if __name__ == "__main__":
    main()
