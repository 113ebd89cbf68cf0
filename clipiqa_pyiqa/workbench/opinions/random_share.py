"""A random share of a data set's images."""

from dataclasses import dataclass, replace
from typing import Any

from ...errors import CLIPIQAError
from ...text import counted
from ..files.specifications import Settings, check_kinds
from .data_set import DataSet, identity_of
from .published import ALL_IMAGES
from .splits import drawn_places

_KINDS = {"share": float | int, "seed": int}


@dataclass(frozen=True)
class RandomShare:
    """A random share of a data set's images."""

    share: float
    seed: int

    def of(self, data: DataSet) -> DataSet:
        """Return the data set with only the images that are drawn, in their order; the seed alone decides which."""
        count = round(self.share * len(data.images))
        if count < 1:
            raise CLIPIQAError(f"share={self.share:g} of data set {data.name!r} is no image: set a larger one.")
        rows = drawn_places(len(data.images), count, self.seed)
        part = f"a random {100 * self.share:g} %"
        if data.part != ALL_IMAGES:
            part += f" of the {data.part}"
        part += f", seed {self.seed}"
        return replace(
            data,
            images=tuple(data.images[row] for row in rows),
            mos=None if data.mos is None else tuple(data.mos[row] for row in rows),
            groups=tuple(data.groups[row] for row in rows) if data.groups else (),
            part=part,
            note=f"{counted(count, 'image')}, {part}, of {data.note}",
            identity=identity_of({"of": data.identity, "share": self.share, "seed": self.seed}),
        )


def without_share(options: Settings) -> dict[str, Any]:
    """Return the options of a data set but for those of a random share."""
    return {key: value for key, value in options.items() if key not in _KINDS}


def random_share(options: Settings, label: str) -> RandomShare | None:
    """Return the share that the options of a data set ask for; None: all of its images."""
    draw = {key: options[key] for key in _KINDS if options.get(key) is not None}
    check_kinds(draw, _KINDS, f"data set {label!r}")
    if "share" not in draw:
        if draw:
            raise CLIPIQAError(f"seed of data set {label!r} needs share, the share of its images to draw.")
        return None
    if not 0 < draw["share"] <= 1:
        raise CLIPIQAError(f"share of data set {label!r} must be above 0, to 1 (all images); got {draw['share']:g}.")
    return RandomShare(draw["share"], draw.get("seed", 0))
