"""Which images a run has, and which of an earlier run it lacks."""

import functools
from collections.abc import Iterable, Iterator

from ...text import on_disk, printable
from ..images.image import Image
from ..names.members import file_of, split_name
from ..names.spellings import spellings
from ..names.versions import path_of_version
from ..sources.image_files import image_at
from .earlier import EarlierRun


class RunImages:
    """Which images a run has, as far as an earlier run has rows of them.

    Attributes:
        renamed: Name in the earlier run's file -> another spelling of the same path, under which the run has the image.
    """

    def __init__(self, earlier: EarlierRun) -> None:
        self.renamed = dict[str, str]()
        self._earlier = earlier
        self._is_met = bytearray(len(earlier))  # of each place

    def claiming(self, images: Iterable[Image]) -> Iterator[Image]:
        """Yield images, and claim each as it is taken."""
        for image in images:
            if self._earlier:  # otherwise nothing can be claimed
                self.claim(printable(image.name))
            yield image

    def claim(self, name: str) -> None:
        """Remember that the run has an image; an earlier row under another spelling of its path gets this name.

        If a run has several spellings of a path, the row belongs to the first.
        """
        if name not in self._earlier:
            for spelling in spellings(name):
                if spelling in self._earlier and self.is_unmet(spelling):
                    self._earlier.rename(spelling, name)
                    self.renamed[spelling] = name
                    break
        place = self._earlier.place(name)
        if place is not None:
            self._is_met[place] = True

    def is_unmet(self, name: str) -> bool:
        """Return whether the earlier run has an image that this run has not come to yet."""
        place = self._earlier.place(name)
        return place is not None and not self._is_met[place]

    @property
    def unmet(self) -> list[str]:
        """Images of the earlier run that this run lacks, when it has come to all of its images."""
        return [name for name in self._earlier if self.is_unmet(name)]

    @functools.cached_property  # read when all images of the run are known, as it asks the disk for each
    def gone(self) -> list[str]:
        """Those of ``unmet`` whose file does not exist, or whose shard is another one now."""
        stamp_of = functools.cache(lambda shard: image_at(on_disk(shard)).stamp())
        gone = []
        for name in self.unmet:
            shard, _ = split_name(name)
            if shard:
                row = self._earlier.row(name)
                stamp = stamp_of(shard)
                is_gone = row is not None and stamp.is_known and stamp != row.stamp
            else:
                is_gone = not file_of(on_disk(path_of_version(name)))
            if is_gone:
                gone.append(name)
        return gone
