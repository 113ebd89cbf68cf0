"""How well `rank --moments` groups made bursts, and how often it puts the sharp and well-exposed photo first.

python tests/measure/moments.py FOLDER ...   (photos in the folders; each becomes scenes of 2 to 6 photos, with mini)
"""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image, ImageEnhance
from timing import arguments, new_folder, photos

# isort: split
from distortions import blurred
from photos import save_taken

from clipiqa_pyiqa import CLIPIQA, rank
from clipiqa_pyiqa.ranking.photos import find_moments

START = datetime(2026, 5, 1, 10, tzinfo=UTC)


def cut(photo, draw):
    """A cutting with 85 to 95 % of the sides, anywhere in the photo: the camera moves between two photos."""
    share = draw.uniform(0.85, 0.95)
    size = [int(share * side) for side in photo.size]
    left, top = (int(draw.random() * (whole - part)) for whole, part in zip(photo.size, size, strict=True))
    box = (left, top, left + size[0], top + size[1])
    return photo.crop(box).resize((512, 512 * size[1] // size[0]), Image.Resampling.LANCZOS)


def spoilt(photo, draw):
    """Blurred by 1.5 to 4 px, too bright or too dark by 2/3 to 2 stops, or both."""
    way = draw.integers(3)
    if way != 1:
        photo = blurred(photo, draw.uniform(1.5, 4))
    if way != 0:
        photo = ImageEnhance.Brightness(photo).enhance(2 ** (draw.choice([-1, 1]) * draw.uniform(2 / 3, 2)))
    return photo


def save(photo, path, time):
    return str(save_taken(photo, path, f"{time:%Y:%m:%d %H:%M:%S.%f}"))


def made(scenes, folder, draw):
    """Write bursts; return photo -> the number of its moment, and the good photo of each burst."""
    time, moments, good, number = START, {}, [], 0
    for photo in scenes:
        for _ in range(2):  # the second scene looks alike, but is apart in time
            number, count = number + 1, draw.integers(2, 7)
            best = draw.integers(count)
            for place in range(count):
                time += timedelta(seconds=draw.uniform(0.1, 3))
                picture = cut(photo, draw)
                path = save(picture if place == best else spoilt(picture, draw), folder / f"{len(moments)}.jpg", time)
                moments[path] = number
                good += [path] if place == best else []
            time += timedelta(seconds=draw.uniform(60, 600) if _ == 0 else draw.uniform(3, 8))  # then at once another
    for _ in range(12):  # one scene over an hour
        time, number = time + timedelta(minutes=5), number + 1
        moments[save(cut(scenes[0], draw), folder / f"{len(moments)}.jpg", time)] = number
    return moments, good


def f1(found, expected):
    pairs = list(itertools.combinations(expected, 2))
    together = [(found[a] == found[b], expected[a] == expected[b]) for a, b in pairs]
    right = together.count((True, True))
    return 2 * right / (2 * right + together.count((True, False)) + together.count((False, True)))


def main():
    scenes = [Image.open(path).convert("RGB") for path in photos(*arguments("folders*").folders)]
    print(len(scenes), "photos")
    for seed in range(5):
        with new_folder() as folder:
            moments, good = made(scenes, folder, np.random.default_rng(seed))
            found = find_moments(list(moments))
            scores = rank(CLIPIQA(backbone="mini"), list(moments), device="cpu").frame.iloc[:, 0]
            best = scores.groupby(moments).max()
            first = np.mean([scores[path] == best[moments[path]] for path in good])
            f1_of_pairs = f"{f1(found, moments):.3f}"
            print(f"seed {seed}: {len(moments)} photos, F1 of pairs {f1_of_pairs}, good ones first {first:.3f}")


if __name__ == "__main__":
    main()
