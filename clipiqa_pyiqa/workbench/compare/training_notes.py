"""What is known of metrics that were trained on the images of a data set."""

from collections.abc import Sequence

from ...files import FileHashes
from ...text import counted
from ..images.image import Image
from ..metrics.kinds import ClipMetric, ImageMetric
from ..opinions.data_set import DataSet
from ..opinions.learned_photos import count_learned_from, seen_by_mini, seen_warning
from .scored_images import ScoredImages


def training_notes(
    data: DataSet, images: Sequence[Image], metrics: Sequence[ImageMetric], scored: ScoredImages, hashes: FileHashes
) -> list[str]:
    """Return what is known of training on the scored images and their opinions; nothing without opinions."""
    if data.mos is None:
        return []
    records = {label: metric.column.record for label, metric in scored.metrics.items()}
    notes = []
    has_mini = any(record.get("backbone") == "mini" for record in records.values())
    is_nothing_left_out = len(images) == len(data.images)
    if has_mini and is_nothing_left_out:
        notes.append(_note_on_mini(data, hashes))
    notes += _notes_on_learned(metrics, [image.name for image in images], hashes)
    labels = [metric.label for metric in metrics]
    for label, record in records.items():
        if label not in labels and {"learned", "head"} & record.keys():  # of an earlier run
            notes.append(f"{label} learned from rated photos, perhaps from these: name it again to see")
    return notes


def _note_on_mini(data: DataSet, hashes: FileHashes) -> str:
    """Return how many of a data set's images ``mini``, which is a metric, was trained on."""
    seen = seen_by_mini([image.name for image in data.images], hashes)
    if any(seen):
        return seen_warning(sum(seen), len(seen))
    return "mini was trained on rated photos of BIQ2021, but on none of these images' scores"


def _notes_on_learned(metrics: Sequence[ImageMetric], names: Sequence[str], hashes: FileHashes) -> list[str]:
    """Return a note for each metric whose head or prompts were learned from some of the images."""
    notes = []
    for metric in metrics:
        learned = count_learned_from(metric.net, names, hashes) if isinstance(metric, ClipMetric) else 0
        if learned:
            extent = f"{learned:,} of these {counted(len(names), 'image')}"
            notes.append(f"{metric.label} was trained on {extent}: its agreement with them says little")
    return notes
