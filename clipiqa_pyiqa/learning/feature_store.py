"""Image features of a data set on disk, each encoded once."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import ImageError, Kind, counted, first_of
from ..files.hashes import hashes_of, remember
from ..files.journal import JournalFolder
from ..files.writing import check_folder
from ..images.batches import images_at_once, in_batches, prefetch, stacked
from ..images.reader import read_image
from ..metric import CLIPIQA, scoring_bytes
from .augmentations import WHOLE, Augmentation

logger = logging.getLogger("clipiqa_pyiqa")
Say = Callable[[str], object]
"""A function that receives progress messages."""
FORMAT = 2  # version of stored features: raise it if features change, also if the reading of images changes


@dataclass(frozen=True)
class Feature:
    """A feature's fp32 numbers in base64."""

    data: str
    error: str = ""


class FeatureStore:
    """Store of a metric's image features on disk; ``stages`` adds the statistics of ``encode_stages``."""

    def __init__(self, metric: CLIPIQA, folder: str | Path | None = None, stages: bool = False):
        self.metric, self.stages = metric, stages
        provenance = metric.provenance()
        names = ("backbone", "weights_sha256", "quick_gelu", "pos_embedding", "precision")
        setup = {"format": FORMAT, "stages": stages, **{name: provenance[name] for name in names}}
        digest = hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "clipiqa" / "features"
        backbone = provenance["backbone"].replace("/", "-")
        self.folder = check_folder((Path(folder) if folder else cache) / f"{backbone}-{digest[:16]}", ())

    def features(
        self,
        paths: Sequence[str | Path],
        augmentations: Sequence[Sequence[Augmentation]] | None = None,
        *,
        name: str = "features",
        device: str | torch.device = "cpu",
        workers: int | None = None,
        say: Say | None = None,
    ) -> Tensor:
        """Return features ``(N, A, D)`` of augmented images (default the whole image); encode missing features."""
        if not paths:
            return torch.empty(0, 1, 1)
        augmentations = [(WHOLE,)] * len(paths) if augmentations is None else augmentations
        try:
            contents = hashes_of([os.fspath(path) for path in paths])
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror}", Kind.UNREADABLE, str(error.filename)) from error
        store = JournalFolder(self.folder, Feature, f"{socket.gethostname()}-{os.getpid()}")
        store.load(set(contents).__contains__)
        missing: dict[str, tuple[str, dict[Augmentation, None]]] = {}  # by content hash: equal files are encoded once
        for path, content, wanted in zip(paths, contents, augmentations, strict=True):
            if new := [augmentation for augmentation in wanted if not store.is_done(content, augmentation.name)]:
                missing.setdefault(content, (os.fspath(path), {}))[1].update(dict.fromkeys(new))
        count = sum(len(new) for _, new in missing.values())
        if missing and store.damaged:
            logger.warning("damaged features are encoded again: %s.", first_of(store.damaged))
        if say is not None:
            todo = f"{count:,} of {sum(map(len, augmentations)):,} features to encode from {counted(len(missing), 'image')}"
            say(f"{name}: {todo}; features are stored in {self.folder}")
        where = torch.device(device)
        cost = scoring_bytes(self.metric, where, "stages" if self.stages else "score")
        at_once = images_at_once(where, len(paths))
        read = prefetch(
            lambda item: read_image(item[1][0], sha256=True), missing.items(), workers, scoring=cost, at_once=at_once
        )

        def decoded_views() -> Generator[tuple[tuple[str, str, str], Tensor], None, None]:
            with contextlib.closing(read) as images:
                for (content, (path, new)), record in images:
                    if isinstance(record, ImageError):
                        raise record
                    if record.sha256 != content:  # the file changed after it was hashed
                        remember({path: str(record.sha256)})
                        raise ImageError("was changed while it was encoded: start the run again", name=path)
                    yield from (
                        ((path, content, augmentation.name), augmentation(record.pixels, path)) for augmentation in new
                    )

        with tqdm(total=count, unit="feature", disable=True if say is None else None) as bar, contextlib.closing(store):

            def work(keys: list[tuple[str, str, str]], pixels: list[Tensor]) -> list[tuple[str, str, Tensor]]:
                encode = self.metric.encode_stages if self.stages else self.metric.encode_image
                with torch.no_grad():
                    encoded = encode(stacked(pixels, device)).float().cpu()
                return [(*key[1:], row) for key, row in zip(keys, encoded, strict=True)]

            for content, augmentation, row in in_batches(
                decoded_views(), work, _raise, batch_size=1 if where.type == "cpu" else 8, at_once=at_once, scoring=cost
            ):
                store.add(content, augmentation, Feature(base64.b64encode(row.numpy().tobytes()).decode()))
                bar.update()
        keys = (
            (content, augmentation.name)
            for content, wanted in zip(contents, augmentations, strict=True)
            for augmentation in wanted
        )
        data = b"".join(base64.b64decode(store.entries[content][augmentation].data) for content, augmentation in keys)
        return torch.from_numpy(np.frombuffer(data, np.float32).copy()).view(len(paths), len(augmentations[0]), -1)


def _raise(key: tuple[str, str, str], pixels: Tensor | None, error: ImageError) -> NoReturn:
    raise ImageError(f"cannot be encoded: {error.reason.rstrip('.')}", error.kind, key[0])
