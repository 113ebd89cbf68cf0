"""Scores of image files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import first_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class ImageScores:
    """Scores of images.

    Attributes:
        frame: Index ``path``, as given; one column per question, in [0, 1].
        failed: Path of an image without scores -> the reason.
        provenance: The CLIP-IQA and the options that made the scores.
        flags: Path of an image with nothing to judge -> ``'almost uniform'``.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict, kw_only=True)


def exif_applied(provenance: Mapping[str, Any]) -> bool:
    return provenance.get("apply_exif") is not False


def because(failed: Mapping[str, str]) -> str:
    return f": {first_of(failed.values())}." if failed else "."
