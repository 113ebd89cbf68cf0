"""Image features of a data set on disk, each encoded once."""

import base64
import hashlib
import logging
import os
import uuid
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ...checks import FilePath
from ...errors import ImageError, Kind
from ...files import FileHashes, as_output_error, user_cache
from ...metric import CLIPIQA
from ...text import counted, first_of, log
from ...training import Augmentation
from ..files.folders import make_folder
from ..files.journal import Journal, read_journal
from ..images.batches import BatchLoop, BatchWork, Limits
from ..images.image import File
from ..images.record import ImageRecord
from ..images.scoring_memory import scoring_bytes
from ..images.stacking import stacked
from ..images.threads import images_at_once
from ..options import Reading

NOT_AUGMENTED = Augmentation()
Feature = NDArray[np.float32]
FORMAT = 3  # version of stored features: raise it if features change, also if the reading of images changes


@dataclass(frozen=True)
class _Views(File):
    """The views of an image to encode, by the keys of their features; the file must have this hash."""

    sha256: str
    views: dict[str, Augmentation]

    def read(self) -> bytes:
        data = super().read()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ImageError("was changed while it was encoded: start the run again", name=self.name)
        return data


@dataclass(frozen=True)
class _Encoding(BatchWork[_Views, ImageRecord, tuple[str, Feature]]):
    """Encodes the views of images; an image that fails ends the run."""

    metric: CLIPIQA
    device: torch.device
    stages: bool

    def load(self, image: _Views) -> ImageRecord:
        return image.load(Reading())

    def views(self, image: _Views, record: ImageRecord) -> Iterator[tuple[_Views, ImageRecord]]:
        """Yield the image once for each of its views, with this view only."""
        for key, augmentation in image.views.items():
            pixels = augmentation(record.pixels, image.name)
            yield replace(image, views={key: augmentation}), ImageRecord.of(pixels)

    def run(self, images: list[_Views], records: list[ImageRecord]) -> list[tuple[str, Feature]]:
        encode = self.metric.encode_stages if self.stages else self.metric.encode_image
        with torch.no_grad():
            features = encode(stacked([record.pixels for record in records], self.device))
        keys = [key for image in images for key in image.views]
        return list(zip(keys, features.float().cpu().numpy(), strict=True))

    def failed(self, image: _Views, record: ImageRecord | None, error: ImageError) -> NoReturn:
        if record is None:
            raise error
        raise ImageError(f"cannot be encoded: {error.reason.rstrip('.')}", error.kind, image.name)


def read_or_encode_features(
    metric: CLIPIQA,
    folder: FilePath | None,
    paths: Collection[FilePath],
    augmentations: Sequence[Sequence[Augmentation]] | None = None,
    *,
    stages: bool = False,
    device: str | torch.device = "cpu",
    workers: int | None = None,
    hashes: FileHashes | None = None,
) -> Tensor:
    """Return a metric's features ``(N, A, D)`` of augmented images (default the whole image).

    Features are stored in a folder, by default in the user's cache; only missing ones are encoded. Each run writes one
    journal.

    Args:
        stages: Add the statistics of ``encode_stages``.
        hashes: The files' hashes, if the caller has computed them already.
    """
    if not len(paths):
        return torch.empty(0, 1, 1)
    journals = make_folder(Path(folder or user_cache("features")) / _folder_name(metric, stages))
    contents = _hashes_of(paths, hashes or FileHashes())
    wanted = _wanted_views(contents, augmentations or [(NOT_AUGMENTED,)] * len(paths))
    keys = [key for views in wanted for key in views]
    features, damaged_lines = _stored_features(journals, set(keys))
    missing = _missing_views(paths, contents, wanted, features)
    missing_count = sum(len(image.views) for image in missing)
    if missing and damaged_lines:
        log.warning(f"damaged features are encoded again: {first_of(damaged_lines)}.")
    if not missing:
        log.info(f"all {len(keys):,} features are stored in {journals}")
    else:
        log.info(
            f"{missing_count:,} of {len(keys):,} features to encode from {counted(len(missing), 'image')}; "
            f"features are stored in {journals}"
        )
        _encode(missing, _Encoding(metric, torch.device(device), stages), workers, journals, features)
    rows = np.stack([features[key] for key in keys])
    return torch.from_numpy(rows.reshape(len(paths), -1, rows.shape[1]))


def _folder_name(metric: CLIPIQA, stages: bool) -> str:
    """Return the name of the folder of features that metrics of this encoding share."""
    digest = hashlib.sha256(repr((FORMAT, stages, metric.encoding)).encode()).hexdigest()
    return f"{metric.clip.weights.backbone.replace('/', '-')}-{digest[:16]}"


def _hashes_of(paths: Collection[FilePath], hashes: FileHashes) -> list[str]:
    try:
        return hashes.of(paths)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}", Kind.UNREADABLE, str(error.filename)) from error


def _wanted_views(
    contents: Sequence[str], augmentations: Sequence[Sequence[Augmentation]]
) -> list[dict[str, Augmentation]]:
    """Return of each file, by its hash: key of a feature -> view."""
    return [
        {f"{content} {view}": view for view in views} for content, views in zip(contents, augmentations, strict=True)
    ]


def _missing_views(
    paths: Collection[FilePath],
    contents: Sequence[str],
    wanted: Sequence[Mapping[str, Augmentation]],
    stored: Container[str],
) -> list[_Views]:
    """Return the views whose features are not stored; equal files are encoded once.

    Args:
        contents: The hash of each file.
        wanted: As from :func:`_wanted_views`.
    """
    missing = dict[str, _Views]()
    for path, content, keys in zip(paths, contents, wanted, strict=True):
        views = {key: augmentation for key, augmentation in keys.items() if key not in stored}
        if views:
            missing.setdefault(content, _Views(os.fspath(path), content, {})).views.update(views)
    return list(missing.values())


def _encode(
    images: Sequence[_Views], encoding: _Encoding, workers: int | None, folder: Path, features: dict[str, Feature]
) -> None:
    """Encode views; each feature is added to ``features``, and written into a journal in the folder."""
    limits = Limits(
        batch_size=1 if encoding.device.type == "cpu" else 8,
        at_once=images_at_once(encoding.device, len(images)),
        bytes_per_pixel=scoring_bytes(encoding.metric, encoding.device, "stages" if encoding.stages else "score"),
        workers=workers,
    )
    encoded = BatchLoop(encoding, limits).results(images)
    count = sum(len(image.views) for image in images)
    hidden = None if log.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
    with closing(Journal(folder / f"{uuid.uuid4().hex}.jsonl")) as journal:
        for key, feature in tqdm(encoded, total=count, unit="feature", disable=hidden):
            features[key] = feature
            journal.append({key: base64.b64encode(feature.tobytes()).decode()})


def _stored_features(folder: Path, wanted: Container[str]) -> tuple[dict[str, Feature], list[str]]:
    """Return those of the wanted features that are stored, and where lines are damaged, in words."""
    features = dict[str, Feature]()
    damaged_lines = list[str]()
    for path in sorted(folder.glob("*.jsonl")):
        damaged_in_file = list[str]()
        with as_output_error(path):
            for row in read_journal(path, damaged_in_file):
                try:
                    ((key, text),) = row.items()
                    feature = np.frombuffer(base64.b64decode(text, validate=True), np.float32)
                except (TypeError, ValueError):
                    damaged_in_file.append("a line that holds no feature")
                    continue
                if key in wanted:
                    features[key] = feature
        damaged_lines += [f"{line} of {str(path)!r}" for line in damaged_in_file]
    return features, damaged_lines
