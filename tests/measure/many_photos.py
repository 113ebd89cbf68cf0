"""How many photos a second ``clipiqa score`` scores in one checkout beside another; run as a script, as no test.

    python tests/measure/many_photos.py OLD NEW [--threads 2] [--rounds 3] [--only mini-224 RN50-224 ...]

The two take turns, each in a process of its own, on the same seeded JPEG files. Printed are the new checkout's photos a
second, start included, and its rate divided by the old one's: the median and the range of the rounds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from timing import COMMAND, environment, in_turns, ratio

CASES = {  # backbone, height, width, photos
    "mini-224": ("mini", 224, 224, 1000),
    "mini-384x512": ("mini", 384, 512, 250),
    "RN50-224": ("RN50", 224, 224, 120),
    "one-mini-384x512": ("mini", 384, 512, 1),
}


def main():
    from photos import photo_like
    from seeded import save_seeded
    from torchvision.transforms.functional import to_pil_image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("old", "new"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[*CASES], choices=CASES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        variables = {side: environment(getattr(args, side).resolve(), folder) for side in ("old", "new")}
        for each in variables.values():
            del each["OMP_NUM_THREADS"]
        for case in args.only:
            backbone, height, width, count = CASES[case]
            (photos := folder / case).mkdir()
            picture = to_pil_image(photo_like(height, width)[0])
            for number in range(count):
                picture.rotate(number % 7).save(photos / f"{number:04}.jpg", quality=90)
            weights = [] if backbone == "mini" else ["--clip-weights", str(save_seeded(folder, backbone))]
            command = [*COMMAND, "score", str(photos), "-b", backbone, *weights, "--threads", str(args.threads)]
            command += ["-o", str(folder / "scores.csv"), "--overwrite"]
            works = {
                side: partial(subprocess.run, [sys.executable, *command], env=each, check=True, capture_output=True)
                for side, each in variables.items()
            }
            taken = in_turns(works, args.rounds)
            rate = count / statistics.median(taken["new"])
            print(f"| {case}, {count} | {rate:.1f} | {ratio(taken['old'], taken['new'])} |", flush=True)


if __name__ == "__main__":
    main()
