"""Moments: photos of one scene that a camera took within seconds."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import math
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from ..errors import AnySize, ImageError, counted
from ..images.image import File
from .photos import is_local

logger = logging.getLogger("clipiqa_pyiqa")
_ALIKE, _LATER = 0.3, 0.08  # least correlation of two small pictures of one moment, and more for each second between
_UNSEEN = 2  # most seconds between two photos of which one cannot be read
_SIDE, _SHIFT = 16, 2  # of small pictures, in pixels; and how far a scene may move between two photos


def find_moments(paths: Iterable[str]) -> dict[str, int]:
    """Return photo -> number of its moment; what has no time of capture in EXIF data has its file's time.

    A photo belongs to the moment of the photo that its camera took T seconds before, if both look alike: their pictures
    of 16×16 pixels, in log brightness, correlate by at least 0.3 + 0.08 T at the best shift of up to 2 pixels. If a
    photo cannot be read, time alone counts, and T is at most 2. Images in shards are moments of their own.
    """
    paths, moments, numbers, before = list(paths), dict[str, int](), itertools.count(1), ""
    taken = {path: _taken(path) for path in paths if is_local(path)}
    for path in sorted(taken, key=lambda path: (*taken[path], path)):
        (camera, then), (same, now) = taken.get(before, ("", -math.inf)), taken[path]
        joins = camera == same and _is_next(before, path, now - then)
        moments[path] = moments[before] if joins else next(numbers)
        before = path
    if undated := sum(not camera for camera, _ in taken.values()):
        logger.warning("%s without a time of capture (EXIF): the file's time counts", counted(undated, "photo"))
    return {path: moments.get(path) or next(numbers) for path in paths}


def _is_next(before: str, path: str, seconds: float) -> bool:
    if (least := _ALIKE + _LATER * seconds) > 1:
        return False
    try:
        a, b = _small(before), _small(path)
    except ImageError:
        return seconds <= _UNSEEN
    shifts = itertools.product(range(-_SHIFT, _SHIFT + 1), repeat=2)
    return any((a * np.roll(b, shift, (0, 1))).sum() >= least for shift in shifts)


def _taken(path: str) -> tuple[str, float]:
    """Return camera and time of capture in seconds; without EXIF data, no camera and the file's time."""
    with contextlib.suppress(Exception), Image.open(path) as image:  # damaged EXIF data raises many kinds of errors
        exif = image.getexif()
        more = exif.get_ifd(0x8769)
        time = datetime.strptime(str(more[0x9003]), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        camera = [exif.get(0x010F), exif.get(0x0110), more.get(0xA431)]  # maker, model, serial number
        return str(camera), time + float(f"0.{str(more.get(0x9291, '')).strip() or 0}")
    return "", os.path.getmtime(path)


@functools.lru_cache(maxsize=2)
def _small(path: str) -> Any:
    """Return a picture ``(16, 16, 3)`` of mean 0 and length 1; with logarithms, exposure changes nothing."""
    picture = File(path).load(AnySize()).picture.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.log(np.asarray(picture) + 8.0)
    pixels -= pixels.mean((0, 1))
    return pixels / max(float(np.linalg.norm(pixels)), 1e-9)
