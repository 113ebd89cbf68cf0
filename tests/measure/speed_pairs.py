"""How fast one checkout of the package is beside another, in pairs and as ratios; run as a script, as no test.

    python tests/measure/speed_pairs.py OLD NEW PHOTOS [--rounds 5]

The two take turns, each in a fresh process with one thread; printed are the median and the range of the rounds' ratios
NEW / OLD of CPU time, start included. CPU time depends less on other work of the machine than time by the clock.
Compare a checkout with itself first: that shows how far from 1 chance alone takes a ratio.
"""

import os
import tarfile
from functools import partial

from checkouts.inputs import make_inputs
from timing import COMMAND, arguments, in_turns, new_folder, ratio, row, runners

COMMANDS = {
    "clipiqa --help": "--help",
    "score": "score ../in/photos -b mini -o scores.csv --overwrite",
    "score, of a shard": "score ../photos.tar -b mini -o shards --overwrite",
    "compare": "compare -m piqe mini -d ../in/few.csv --bootstrap 0 -o table --overwrite",
    "table": "table --methods a=../in/photos b=../in/photos -m piqe mini -o methods --overwrite",
    "train": "train ../in/few.csv -b mini --crop 128 --epochs 3 --batch-size 8 -o run --overwrite",
}
ENCODE = "import torch, clipiqa_pyiqa as c; [c.CLIPIQA(backbone='mini')(torch.rand(1, 3, {0}, {0})) for _ in '1234']"
WORKS = {name: [*COMMAND, *line.split()] for name, line in COMMANDS.items()}
WORKS |= {f"four scores of 1×{side}²": ["-c", ENCODE.format(side)] for side in (224, 768)}
LOSS = """import torch, clipiqa_pyiqa as c
loss = c.CLIPIQALoss(backbone='mini')
for _ in range(8): loss(torch.rand(4, 3, 224, 224, requires_grad=True)).backward()"""
WORKS["eight losses of 4×224²"] = ["-c", LOSS]


def main():
    args = arguments("old", "new", "photos", rounds=5)
    with new_folder() as folder:
        make_inputs(folder / "in", args.photos)
        with tarfile.open(folder / "photos.tar", "w") as shard:
            shard.add(folder / "in/photos", "photos")
        runs = runners(args, folder)
        for name, words in WORKS.items():
            works = {side: partial(run, *words) for side, run in runs.items()}
            taken = in_turns(works, args.rounds, clock=lambda: sum(os.times()[2:4]))  # of the processes that ended
            row(name, ratio(taken["new"], taken["old"]))


if __name__ == "__main__":
    main()
