"""What a caller of ``gate`` accepts: new, missing, resized and flagged images."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from ...checks import check_list, check_truth
from ...errors import OptionError
from ...text import hint_for
from ..images.uniform import FLAGS

BAND = "cut"
"""The flag of new images with a band of one colour; scoring gives the other flags."""


@dataclass(frozen=True)
class Accepted:
    """What a caller accepts.

    Attributes:
        missing: Number of images that the new run may lack, or their share of the base's as a text such as ``'5%'``.
        flags: Flags that new images may have.
    """

    new: bool = False
    missing: int | str = 0
    resize: bool = False
    flags: Collection[str] = ()

    def __post_init__(self) -> None:
        check_truth("allow_new", self.new)
        check_truth("allow_resize", self.resize)
        check_list("allow_flag", self.flags)
        self.count_of(1)  # raises if the text is no number and no share
        if self.flags:
            known = (*FLAGS, BAND)
            for flag in self.flags:
                if flag not in known:
                    raise OptionError(
                        f"`allow_flag` names {flag!r}, which is no flag: {hint_for(flag, known)}",
                        options=("allow_flag",),
                    )

    def count_of(self, base: int) -> int:
        """Return how many images the new run may lack, of a base with so many."""
        text = str(self.missing).strip()
        if re.fullmatch(r"\d+", text):
            return int(text)
        percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text)
        if percent is None or float(percent[1]) > 100:
            raise OptionError(
                f"`allow_missing` must be a number of images or a share such as 5%; got {text!r}.",
                options=("allow_missing",),
            )
        return math.floor(base * float(percent[1]) / 100 + 1e-9)
