"""The photos of a score file: order, files and moments (photos of one scene, taken within seconds)."""

import contextlib
import itertools
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from PIL import Image

from ..errors import AnySize, CLIPIQAError, ImageError, counted, first_of, log, nearest, twice_in
from ..files.names import on_disk, printable
from ..images.image import File
from ..report.report import Report
from ..report.table import frame_table
from ..results.scores import Direction, Scores, choose, find_direction


@dataclass(frozen=True)
class Photos:
    """Photos and their scores.

    Attributes:
        moments: Path -> number of its moment (:func:`.find_moments`); :meth:`ends` then picks within each moment.
    """

    scores: Scores
    by: str
    lower_better: bool | None = None
    root: Path | None = None
    moments: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.by not in self.scores.names:
            raise CLIPIQAError(f"there are no scores called {self.by!r}: {nearest(self.by, self.scores.names)}")
        if not self.scores.frame[self.by].notna().any():
            raise CLIPIQAError(f"no photo has a score of {self.by!r}: name another column (`by`).")
        if twice := twice_in(map(os.path.abspath, map(self.path, self.scores.frame.index))):
            raise CLIPIQAError(f"{twice!r} has several rows in {self.scores.file!r}: leave one row of each photo.")

    @cached_property
    def direction(self) -> Direction:
        """Return whether low or high values are good."""
        return find_direction([self.scores], self.by, self.lower_better)

    def ends(self, **cuts: Any) -> tuple[pandas.Series, pandas.Series]:
        """Return the worst and the best photos with their scores; ``cuts`` as for :func:`choose`.

        The best photo of a moment is never among its worst.
        """
        worst, best = (self.scores.frame[self.by].iloc[places] for places in self._places(cuts))
        return worst, best

    def best_first(self) -> list[str]:
        """Return the photos that have a score, from the best to the worst."""
        scores = self.scores.frame[self.by]
        names = list(map(printable, scores.index))
        _, places = choose(names, scores, self.direction.lower_better, {"best": "100%"})
        return list(scores.index[places])

    def _places(self, cuts: Mapping[str, Any]) -> tuple[Any, Any]:
        scores, is_low = self.scores.frame[self.by], self.direction.lower_better
        names = list(map(printable, scores.index))
        if self.moments is None:
            return choose(names, scores, is_low, cuts)
        found = [list[int](), list[int]()]
        for places in scores.groupby(self.numbers(scores.index)).indices.values():
            worst, best = choose([names[place] for place in places], scores.iloc[places], is_low, cuts)
            if "worst" in cuts and len(worst) == scores.iloc[places].count():
                worst, best = worst[:-1], worst[-1:] if "best" in cuts else best
            for way, end in enumerate((worst, best)):
                found[way] += places[end].tolist()
        for way, places in enumerate(found):
            places.sort(key=lambda place: (scores.iloc[place] * (1 if is_low == way else -1), names[place]))
        return found[0], found[1]

    def numbers(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of photos' moments; empty if there are none."""
        return [self.moments[self.path(name)] for name in names] if self.moments else []

    def report(self, **cuts: Any) -> Report:
        """Return the worst and the best photos as two lists with all of their scores; ``cuts`` as for :meth:`ends`."""
        frame, flags, tables = self.scores.frame, self.scores.flags, []
        known = f"of {frame[self.by].count():,} by {self.by}"
        for end, places in zip(("Worst" if "worst" in cuts else "Picked", "Best"), self._places(cuts), strict=True):
            if len(places):
                rows = frame.iloc[places][[self.by, *frame.columns.drop(self.by)]]
                rows["path"] = list(map(printable, rows.index))
                if self.moments is not None:
                    rows["moment"] = self.numbers(rows.index)
                if any(marks := [flags.get(name, "") for name in rows.index]):
                    rows["flag"] = marks
                tables.append(frame_table(rows, title=f"{end} {len(rows):,} {known}"))
        return Report(tables, frame)

    def check_unchanged(self, names: Iterable[str]) -> None:
        """Raise ``CLIPIQAError`` if the file or shard of a photo has changed since it was scored."""
        if changed := self.scores.changed(names, self.path):
            problem = first_of(f"{self.path(name)!r} has changed since it was scored" for name in changed)
            raise CLIPIQAError(f"{problem}: nothing was done; score again, or pass despite_changes.")

    def path(self, name: str) -> str:
        return on_disk(os.path.join(self.root or "", os.path.expanduser(name)))


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
    taken = {path: _taken(path) for path in paths if os.path.isfile(path)}
    for path in sorted(taken, key=lambda path: (*taken[path], path)):
        (camera, then), (same, now) = taken.get(before, ("", -math.inf)), taken[path]
        joins = camera == same and _is_next(before, path, now - then)
        moments[path] = moments[before] if joins else next(numbers)
        before = path
    if undated := sum(not camera for camera, _ in taken.values()):
        log.warning(f"{counted(undated, 'photo')} without a time of capture (EXIF): the file's time counts")
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


@lru_cache(maxsize=2)
def _small(path: str) -> Any:
    """Return a picture ``(16, 16, 3)`` of mean 0 and length 1; with logarithms, exposure changes nothing."""
    picture = File(path).load(AnySize()).picture.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.log(np.asarray(picture) + 8.0)
    pixels -= pixels.mean((0, 1))
    return pixels / max(float(np.linalg.norm(pixels)), 1e-9)
