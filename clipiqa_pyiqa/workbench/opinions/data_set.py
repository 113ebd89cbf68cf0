"""A data set: images to be scored, and people's scores."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ...text import printable
from ..files.specifications import Settings
from ..images.image import Image
from .published import ALL_IMAGES


@dataclass(frozen=True)
class DataSet:
    """Images to be scored, and people's scores.

    Attributes:
        images: Images whose names are absolute paths, each once.
        mos: Opinion scores of the images; None without opinions.
        lower_better: Whether low opinion scores are good (DMOS).
        note: What a reader of results must know of it, in phrases.
        published_as: Name in ``published_correlations.csv``, or empty.
        identity: A hash of the options that it was read with.
        table: File of opinions, or empty.
        groups: Group of each image; empty without groups.
        source: What it was made from: the ``file`` of opinions with its ``sha256``, and the ``root`` of the images.
        part: Which images of the data set these are.
        notes_on_columns: Which columns of opinions are not read, although they have usual names too, in sentences.
    """

    name: str
    images: tuple[Image, ...]
    mos: tuple[float, ...] | None
    lower_better: bool = False
    note: str = ""
    published_as: str = ""
    identity: str = ""
    table: str = ""
    groups: tuple[str, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)
    part: str = ALL_IMAGES
    notes_on_columns: tuple[str, ...] = ()

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Return the paths of the images, as they are shown."""
        return tuple(printable(image.name) for image in self.images)


def identity_of(options: Settings) -> str:
    """Return a hash of the options of a data set."""
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:12]
