"""How many photos a second ``clipiqa score`` scores in one checkout beside another; run as a script, as no test.

    python tests/measure/many_photos.py OLD NEW [--threads 2] [--rounds 3] [--only mini-224 RN50-224 ...]

The two take turns, each in a process of its own, on the same seeded JPEG files. Printed are the new checkout's photos a
second, start included, and its rate divided by the old one's: the median and the range of the rounds.
"""

import statistics
from functools import partial

from timing import COMMAND, arguments, in_turns, new_folder, ratio, row, runners, seeded

# isort: split
from photos import photo_like
from torchvision.transforms.functional import to_pil_image

CASES = {  # backbone, height, width, photos
    "mini-224": ("mini", 224, 224, 1000),
    "mini-384x512": ("mini", 384, 512, 250),
    "RN50-224": ("RN50", 224, 224, 120),
    "one-mini-384x512": ("mini", 384, 512, 1),
}


def main():
    args = arguments("old", "new", threads=2, rounds=3, only=[*CASES])
    with new_folder() as folder:
        runs = runners(args, folder, OMP_NUM_THREADS=str(args.threads))
        for case in args.only:
            backbone, height, width, count = CASES[case]
            (photos := folder / case).mkdir()
            picture = to_pil_image(photo_like(height, width)[0])
            for number in range(count):
                picture.rotate(number % 7).save(photos / f"{number:04}.jpg", quality=90)
            words = [*COMMAND, "score", photos, "-b", backbone, "-o", "scores.csv", "--overwrite"]
            if backbone != "mini":
                words += ["--clip-weights", seeded(backbone, folder)["clip_weights"]]
            taken = in_turns({side: partial(run, *words) for side, run in runs.items()}, args.rounds)
            rate = count / statistics.median(taken["new"])
            row(f"{case}, {count}", f"{rate:.1f}", ratio(taken["old"], taken["new"]))


if __name__ == "__main__":
    main()
