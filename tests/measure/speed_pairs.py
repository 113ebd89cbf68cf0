"""How fast one checkout of the package is beside another, in pairs and as ratios; run as a script, as no test.

    python tests/measure/speed_pairs.py OLD NEW PHOTOS [--rounds 5]

The two take turns, each in a fresh process with one thread; printed are the median and the range of the rounds' ratios
NEW / OLD of CPU time, start included. CPU time depends less on other work of the machine than time by the clock.
Compare a checkout with itself first: that shows how far from 1 chance alone takes a ratio.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from functools import partial
from pathlib import Path

from same_results import environment
from timing import in_turns, ratio

COMMAND = ["-c", "import sys; from clipiqa_pyiqa.cli import main; sys.exit(main())"]
ENCODE = (
    "import torch, clipiqa_pyiqa as c; x = torch.rand(1, 3, {0}, {0}); [c.CLIPIQA(backbone='mini')(x) for _ in '1234']"
)
COMMANDS = {
    "clipiqa --help": "--help",
    "score": "score PHOTOS -b mini -o scores.csv --overwrite",
    "score, of shards": "score ../0.tar ../1.tar -b mini -o shards --overwrite",
    "compare": "compare -m piqe clipiqa:backbone=mini -d ../opinions.csv --bootstrap 0 -o table --overwrite",
    "train": "train ../opinions.csv -b mini --crop 128 --epochs 3 --batch-size 8 -o run --overwrite",
}
WORKS = {
    **{name: [*COMMAND, *line.split()] for name, line in COMMANDS.items()},
    **{f"four scores of 1×{side}²": ["-c", ENCODE.format(side)] for side in (224, 768)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("old", "new", "photos"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    photos = sorted(args.photos.resolve().glob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        rows = [f"{photo},{number % 5 + 1}" for number, photo in enumerate(photos)]
        Path(folder, "opinions.csv").write_text("\n".join(["path,score", *rows]) + "\n")
        for number, side in enumerate(("old", "new")):
            Path(folder, side).mkdir()
            with tarfile.open(Path(folder, f"{number}.tar"), "w") as shard:
                for photo in photos[number::2]:
                    shard.add(photo, photo.name)
        for name, words in WORKS.items():
            command = [sys.executable, *(str(args.photos.resolve()) if word == "PHOTOS" else word for word in words)]
            run = partial(subprocess.run, command, check=True, capture_output=True)
            works = {
                side: partial(run, cwd=Path(folder, side), env=environment(checkout.resolve(), Path(folder)))
                for side, checkout in (("old", args.old), ("new", args.new))
            }
            taken = in_turns(works, args.rounds, clock=lambda: sum(os.times()[2:4]))  # of the processes that ended
            print(f"| {name} | {ratio(taken['new'], taken['old'])} |", flush=True)


if __name__ == "__main__":
    main()
