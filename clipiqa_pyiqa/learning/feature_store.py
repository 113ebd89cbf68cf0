"""The image features of a data set, each encoded once and kept on disk.

A store is a folder of journals per setup: its name is made of the backbone, its weights, the positional embedding and
the precision, so that a feature of another setup cannot be found. Within it the key is the image file's content and the
view of it (whole, flipped, cropped). Each process writes a file of its own, and a kill costs the batch under way.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import CLIPIQAError, ImageError, Kind, counted, first_of
from ..files.hashes import hashes_of, remember
from ..files.journal import JournalFolder
from ..files.writing import check_folder
from ..images.batches import in_batches, prefetch
from ..images.reader import read_image
from ..metric import CLIPIQA, scoring_bytes
from .views import View, encode_views, refuse

logger = logging.getLogger("clipiqa_pyiqa")
Say = Callable[[str], object]
"""What is told, in sentences, how a run goes."""
FORMAT = 2  # of the store, and of the reading of images: raise it when either changes what a feature is
_ROW_BYTES = 300  # of a row without its feature, rounded up
_Missing = Mapping[str, tuple[str, tuple[View, ...]]]  # path -> SHA-256 of the file, and the views to encode


class FeatureError(CLIPIQAError):
    """A feature store that cannot be written or read."""


@dataclass(frozen=True)
class Feature:
    """A feature of unit length as it is kept: its fp32 numbers in base64."""

    data: str
    error: str = ""


class FeatureStore:
    """Features of one metric's image tower on disk.

    Args:
        metric: Whose ``encode_image`` makes them; its prompts do not matter.
        folder: Where stores lie; default ``$XDG_CACHE_HOME/clipiqa/features``.
        stages: Keep the statistics of every stage behind each feature, as ``encode_stages`` gives them.

    Attributes:
        folder: Of this store.
        dim: Numbers in a feature.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(self, metric: CLIPIQA, folder: str | Path | None = None, stages: bool = False):
        self.metric, self.stages = metric, stages
        provenance = metric.provenance()
        names = ("backbone", "weights_sha256", "quick_gelu", "pos_embedding", "precision")
        setup = {"format": FORMAT, "stages": stages, **{name: provenance[name] for name in names}}
        digest = hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()
        self.dim = metric.clip.checkpoint.shapes["text_projection"][1]
        if stages:
            with torch.no_grad():
                self.dim = metric.encode_stages(torch.zeros(1, 3, 64, 64)).shape[1]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "clipiqa" / "features"
        backbone = provenance["backbone"].replace("/", "-")
        self.folder = check_folder((Path(folder) if folder else cache) / f"{backbone}-{digest[:16]}", ())

    def features(
        self,
        paths: Sequence[str | Path],
        views: Sequence[Sequence[View]],
        *,
        what: str = "features",
        device: str | torch.device = "cpu",
        workers: int | None = None,
        batch_size: int = 8,
        say: Say | None = None,
    ) -> Tensor:
        """Return the features of these views, ``(N, V, D)``, encoded where they are not in the store yet.

        What was encoded is kept, whatever happens afterwards.

        Args:
            paths: N image files.
            views: V views for each of them.
            what: The name of these images in what is said.
            device: Where to encode.
            workers: Decoding threads; None is one per core, up to eight.
            batch_size: Views of equal size that are encoded at once, at most.
            say: Told how much is to be done; then a terminal shows a progress bar, too.

        Raises:
            ImageError: An image cannot be read or encoded, or is too small for a view.
            FeatureError: There is not enough room, or an image changed meanwhile.
            OutputError: The store cannot be written or read.
        """
        if not paths:
            return torch.empty(0, 1, self.dim)
        contents = _hashes([os.fspath(path) for path in paths])
        store = JournalFolder(self.folder, Feature, f"{socket.gethostname()}-{os.getpid()}")
        store.load(set(contents).__contains__)
        there = {(content, name) for content, known in store.entries.items() for name in known}
        missing: dict[str, tuple[str, tuple[View, ...]]] = {}
        for path, content, wanted in zip(paths, contents, views, strict=True):
            if new := tuple(view for view in wanted if (content, view.name) not in there):
                missing[os.fspath(path)] = content, new
                there.update((content, view.name) for view in new)  # equal files are encoded once
        count = sum(len(new) for _, new in missing.values())
        if missing and store.damaged:
            logger.warning("damaged features are made again: %s.", first_of(store.damaged))
        size = self._check_room(count)
        if say is not None:
            todo = f"{count:,} of {sum(map(len, views)):,} features to encode from {counted(len(missing), 'image')}"
            say(f"{what}: {todo}; {self.folder} grows by {size / 1e6:,.1f} MB")
        with tqdm(total=count, unit="feature", disable=True if say is None else None) as bar, contextlib.closing(store):

            def work(keys: list[tuple[str, str, str]], pixels: list[Tensor]) -> list[None]:
                encoded = encode_views(self.metric, pixels, device, self.stages)
                for (_, content, name), row in zip(keys, encoded, strict=True):
                    store.add(content, name, Feature(base64.b64encode(row.numpy().tobytes()).decode()))
                bar.update(len(keys))
                return [None] * len(keys)

            pictures = self._views(missing, workers, torch.device(device))
            deque(in_batches(pictures, work, refuse, batch_size=batch_size), maxlen=0)
        asked = ((content, view.name) for content, wanted in zip(contents, views, strict=True) for view in wanted)
        data = b"".join(base64.b64decode(store.entries[content][name].data) for content, name in asked)
        return torch.from_numpy(np.frombuffer(data, np.float32).copy()).view(len(paths), -1, self.dim)

    def _check_room(self, count: int) -> int:
        """Return by how many bytes so many features make the store grow; raise if the disk lacks them."""
        size, free = count * (self.dim * 16 // 3 + _ROW_BYTES), shutil.disk_usage(self.folder).free
        if size > free:
            raise FeatureError(
                f"{count} features need {size / 1e6:,.1f} MB, but {str(self.folder)!r} has {free / 1e6:,.1f} MB left: "
                "make room, or keep them elsewhere."
            )
        return size

    def _views(
        self, missing: _Missing, workers: int | None, device: torch.device
    ) -> Generator[tuple[tuple[str, str, str], Tensor | ImageError], None, None]:
        """Yield path, content hash and name of each view that is missing, and its pixels."""
        is_whole = any(view.crop is None for _, views in missing.values() for view in views)
        cost = scoring_bytes(self.metric, device, "stages" if self.stages else "score") if is_whole else 0
        read = prefetch(lambda path: read_image(path, sha256=True), missing, workers, scoring=cost)
        with contextlib.closing(read) as images:
            for path, record in images:
                if isinstance(record, ImageError):
                    raise record
                content, views = missing[path]
                if record.sha256 != content:  # the picture is not the file that was hashed
                    remember({path: str(record.sha256)})
                    raise FeatureError(f"{path!r} was changed while features were made: run this again.")
                yield from (((path, content, view.name), view(record.pixels, path)) for view in views)


def _hashes(paths: Sequence[str]) -> list[str]:
    try:
        return hashes_of(paths)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}", Kind.UNREADABLE, str(error.filename)) from error
