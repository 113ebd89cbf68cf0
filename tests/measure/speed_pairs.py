"""How fast one checkout of the package is beside another, in pairs and as ratios; run as a script, as no test.

    python tests/measure/speed_pairs.py OLD NEW PHOTOS [--rounds 5]

The two take turns, each in a fresh process with one thread; printed are the median and the range of the rounds' ratios
NEW / OLD of CPU time, start included. CPU time depends less on other work of the machine than time by the clock.
Compare a checkout with itself first: that shows how far from 1 chance alone takes a ratio.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from functools import partial
from pathlib import Path

from checkouts.inputs import make_inputs
from timing import COMMAND, environment, in_turns, ratio

COMMANDS = {
    "clipiqa --help": "--help",
    "score": "score ../in/photos -b mini -o scores.csv --overwrite",
    "score, of a shard": "score ../photos.tar -b mini -o shards --overwrite",
    "compare": "compare -m piqe clipiqa:backbone=mini -d ../in/few.csv --bootstrap 0 -o table --overwrite",
    "train": "train ../in/few.csv -b mini --crop 128 --epochs 3 --batch-size 8 -o run --overwrite",
}
ENCODE = "import torch, clipiqa_pyiqa as c; [c.CLIPIQA(backbone='mini')(torch.rand(1, 3, {0}, {0})) for _ in '1234']"
WORKS = {name: [*COMMAND, *line.split()] for name, line in COMMANDS.items()}
WORKS |= {f"four scores of 1×{side}²": ["-c", ENCODE.format(side)] for side in (224, 768)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("old", "new", "photos"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, runs = Path(temporary), {}
        make_inputs(folder / "in", args.photos)
        with tarfile.open(folder / "photos.tar", "w") as shard:
            shard.add(folder / "in/photos", "photos")
        for side in ("old", "new"):
            (folder / side).mkdir()
            variables = environment(getattr(args, side).resolve(), folder)
            runs[side] = partial(subprocess.run, cwd=folder / side, env=variables, check=True, capture_output=True)
        for name, words in WORKS.items():
            works = {side: partial(run, [sys.executable, *words]) for side, run in runs.items()}
            taken = in_turns(works, args.rounds, clock=lambda: sum(os.times()[2:4]))  # of the processes that ended
            print(f"| {name} | {ratio(taken['new'], taken['old'])} |", flush=True)


if __name__ == "__main__":
    main()
