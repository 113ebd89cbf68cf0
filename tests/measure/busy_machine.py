"""How long `clipiqa score` takes beside other work, with and without the wait policy that commands set.

python tests/measure/busy_machine.py PHOTOS

Per round, four runs of the same command on the same 24 photos, in turns: idle and beside two busy processes, each with
OMP_WAIT_POLICY=PASSIVE, which commands set, and without it. Printed are seconds, start included.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from timing import in_turns

SCORE = "import sys, torch; from clipiqa_pyiqa.cli import main; sys.exit(main())"  # torch reads the policy first


def score(photos, busy, passive):
    """Run the command beside busy processes, with the wait policy or without it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE"} if passive else {}
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", SCORE, "score", *photos, "-b", "mini", "-q", "-o", f"{folder}/scores.csv"]
            subprocess.run(command, env=environment, check=True)
    finally:
        for process in others:
            process.kill()
            process.wait()


def main():
    photos = random.Random(0).sample(sorted(map(str, Path(sys.argv[1]).rglob("*.jpg"))), 24)
    works = {
        f"{busy} busy processes, {'with' if passive else 'without'} the policy": partial(score, photos, busy, passive)
        for busy in (0, 2)
        for passive in (False, True)
    }
    for what, values in in_turns(works, 3).items():
        said = ", ".join(f"{value:.1f}" for value in values)
        print(f"{what}: {said} s, median {statistics.median(values):.1f} s")


if __name__ == "__main__":
    main()
