"""Which data sets of pyiqa have published correlations."""

from pathlib import Path
from typing import Any

from ..files.specifications import Settings
from .pyiqa_settings import PATH_OPTIONS

_SIZES_OF_SPAQ = (512, {"size": 512}, {"size": 512, "interpolation": 3})  # the last is bicubic


def published_set(name: str, options: Settings, usual: Settings) -> str:
    """Return the table's name for a data set of pyiqa's; empty if options differ from the usual options.

    Only the last part of a path counts.
    """
    paths = PATH_OPTIONS[:2]
    changed = {
        key: value
        for key, value in options.items()
        if key not in (*paths, "name", "dataroot_ref") and value != usual.get(key)
    }
    if any(Path(options[key]).name != Path(usual[key]).name for key in paths):
        return ""
    if name == "livec" and changed == {"type": "GeneralNRDataset"}:  # also the seven images that pyiqa leaves out
        return name
    if name == "spaq" and _is_augmented_as_in_the_paper(changed):
        return "spaq at 512"
    return "" if changed else name


def _is_augmented_as_in_the_paper(changed: Settings) -> bool:
    """Return whether only the short side is changed, to 512 pixels; pyiqa's is 448."""
    augment: Any = changed.get("augment") or {}
    return changed.keys() == {"augment"} and augment.keys() == {"resize"} and augment["resize"] in _SIZES_OF_SPAQ
