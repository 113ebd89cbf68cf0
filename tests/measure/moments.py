"""How well `rank --moments` groups made bursts, and how often it puts the sharp and well-exposed photo first.

python tests/measure/moments.py FOLDER ...   (photos in the folders; each becomes scenes of 2 to 6 photos, with mini)
"""

import itertools
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from clipiqa_pyiqa import CLIPIQA, rank
from clipiqa_pyiqa.ranking.photos import find_moments

START = datetime(2026, 5, 1, 10, tzinfo=UTC)


def cut(photo, draw, least=0.85):
    """A cutting with 85 to 95 % of the sides, anywhere in the photo: the camera moves between two photos."""
    share = draw.uniform(least, 0.95)
    size = [int(share * side) for side in photo.size]
    left, top = (int(draw.random() * (whole - part)) for whole, part in zip(photo.size, size, strict=True))
    box = (left, top, left + size[0], top + size[1])
    return photo.crop(box).resize((512, 512 * size[1] // size[0]), Image.Resampling.LANCZOS)


def spoilt(photo, draw):
    """Blurred by 1.5 to 4 px, too bright or too dark by 2/3 to 2 stops, or both."""
    way = draw.integers(3)
    if way != 1:
        photo = photo.filter(ImageFilter.GaussianBlur(draw.uniform(1.5, 4)))
    if way != 0:
        photo = ImageEnhance.Brightness(photo).enhance(2 ** (draw.choice([-1, 1]) * draw.uniform(2 / 3, 2)))
    return photo


def save(photo, path, time, camera="one"):
    exif = Image.Exif()
    exif[0x0110] = camera
    exif.get_ifd(0x8769).update({0x9003: f"{time:%Y:%m:%d %H:%M:%S}", 0x9291: f"{time:%f}"})
    photo.save(path, quality=92, exif=exif)
    return str(path)


def made(photos, folder, draw):
    """Write bursts; return photo -> the number of its moment, and the good photo of each burst."""
    time, moments, good, number = START, {}, [], 0
    for photo in photos:
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
        moments[save(cut(photos[0], draw), folder / f"{len(moments)}.jpg", time)] = number
    return moments, good


def f1(found, expected):
    pairs = list(itertools.combinations(expected, 2))
    together = [(found[a] == found[b], expected[a] == expected[b]) for a, b in pairs]
    right = together.count((True, True))
    return 2 * right / (2 * right + together.count((True, False)) + together.count((False, True)))


def main(folders):
    photos = [Image.open(path).convert("RGB") for folder in folders for path in sorted(Path(folder).glob("*.jpg"))]
    print(len(photos), "photos")
    for seed in range(5):
        with tempfile.TemporaryDirectory() as folder:
            moments, good = made(photos, Path(folder), np.random.default_rng(seed))
            paths = list(moments)
            found = find_moments(paths)
            scores = rank(CLIPIQA(backbone="mini"), paths, device="cpu").frame.iloc[:, 0]
            best = scores.groupby(moments).max()
            first = np.mean([scores[path] == best[moments[path]] for path in good])
            print(
                f"seed {seed}: {len(paths)} photos, F1 of pairs {f1(found, moments):.3f}, good ones first {first:.3f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
