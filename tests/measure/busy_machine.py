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
from functools import partial

from timing import arguments, in_turns, new_folder, photos

SCORE = "import sys, torch; from clipiqa_pyiqa.cli import main; sys.exit(main())"  # torch reads the policy first
POLICIES = {"without the policy": {}, "with the policy": {"OMP_WAIT_POLICY": "PASSIVE"}}


def score(chosen, busy, policy):
    """Run the command beside busy processes."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | policy
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        with new_folder() as folder:
            command = [sys.executable, "-c", SCORE, "score", *chosen, "-b", "mini", "-q", "-o", folder / "scores.csv"]
            subprocess.run(command, env=variables, check=True)
    finally:
        for process in others:
            process.kill()
            process.wait()


def main():
    chosen = random.Random(0).sample(photos(arguments("photos").photos), 24)
    works = {
        f"{busy} busy processes, {name}": partial(score, chosen, busy, policy)
        for busy in (0, 2)
        for name, policy in POLICIES.items()
    }
    for what, seconds in in_turns(works, 3).items():
        print(f"{what}: {', '.join(f'{value:.1f}' for value in seconds)} s, median {statistics.median(seconds):.1f} s")


if __name__ == "__main__":
    main()
