"""CLIP-IQA on Ray: a class for pipelines of Ray Data, and the engine that scores shards on a cluster."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import CLIPIQAError
from .errors.arguments import SharedOptions, checked
from .images.reader import Damaged, check_limits
from .images.source import ImageSource, NoImage
from .metric import find_device, net_of
from .prompts.pairs import Prompts, parse_columns
from .scoring.shards.ray_engine import RayEngine
from .scoring.shards.work import Work
from .sources.members import Entry

__all__ = ["RayEngine", "Scorer"]

_BYTES = ("bytes", "image", "jpg", "jpeg", "png", "webp", "img")


class Scorer:
    """Adds scores to batches of encoded images: a class for ``ray.data.Dataset.map_batches``.

    Each actor keeps one frozen CLIP. Images of equal size are scored together within a batch. An image that cannot be
    scored costs its row: its scores are NaN and ``error`` says why.

    Args:
        metric: A ``CLIPIQA``, or a function that makes one, called where images are scored.
        prompts: What to ask, one column each, as for :func:`~clipiqa_pyiqa.score_paths`; None asks the metric's own.
        column: Of the images' bytes (or of dicts with ``bytes``); None takes ``bytes``, ``image``, ``jpg``, ….
        name_column: Of what messages call an image; it need not be there.
        device: Where to score; None is CUDA where there is one, else the CPU.
        batch_size: Images of equal size that are scored at once, at most.
        workers: Decoding threads; None is one per core, up to eight.
        apply_exif, max_side, max_pixels, damaged: As for :func:`~clipiqa_pyiqa.score_paths`.

    Example:
        >>> from importlib.resources import files
        >>> from clipiqa_pyiqa import CLIPIQA
        >>> photo = next(path for path in (files("clipiqa_pyiqa") / "data/photos").iterdir() if path.suffix == ".jpg")
        >>> found = Scorer(CLIPIQA(backbone="mini"), device="cpu")({"bytes": [photo.read_bytes(), b"no image"]})
        >>> [bool(0 <= score <= 1) for score in found["quality"]], [bool(error) for error in found["error"]]
        ([True, False], [False, True])
    """

    @checked
    def __init__(
        self,
        metric: Any,
        prompts: Prompts = None,
        *,
        column: str | None = None,
        name_column: str = "path",
        device: str | None = SharedOptions.device,
        batch_size: int = SharedOptions.batch_size,
        workers: int | None = SharedOptions.workers,
        apply_exif: bool = SharedOptions.apply_exif,
        max_side: int | None = SharedOptions.max_side,
        max_pixels: int | None = SharedOptions.max_pixels,
        damaged: Damaged = SharedOptions.damaged,
    ) -> None:
        check_limits(max_side, max_pixels, damaged)
        net, found = net_of(metric), find_device(device)
        if hasattr(net, "to"):
            net = net.to(found).eval()
        questions = None if prompts is None else parse_columns(prompts, getattr(net, "template", None))
        limits: dict[str, Any] = dict(apply_exif=apply_exif, max_side=max_side, max_pixels=max_pixels, damaged=damaged)
        self._work = Work(net, questions, found, batch_size, workers, limits)
        self._column, self._name_column = column, name_column

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with a column of scores for each question, and ``error``.

        Args:
            batch: Column -> values, as Ray Data gives them (``batch_format='numpy'``, its default).
        """
        cells = batch[self._bytes_column(batch)]
        names = batch.get(self._name_column, batch.get("__key__", range(len(cells))))
        sources = (_entry(str(name), cell) for name, cell in zip(names, cells, strict=True))
        rows = [row for row, _ in self._work.rows(sources)]
        columns = self._work.columns
        scores = np.array([row.scores or (np.nan,) * len(columns) for row in rows], float).reshape(-1, len(columns))
        found = {column: scores[:, place] for place, column in enumerate(columns)}
        return {**batch, **found, "error": np.array([row.error for row in rows], object)}

    def _bytes_column(self, batch: dict[str, Any]) -> str:
        names = _BYTES if self._column is None else (self._column,)
        column = next((name for name in names if name in batch), None)
        if column is None:
            raise CLIPIQAError(
                f"there is no column of images ({', '.join(names)}): the columns are {', '.join(batch)}; give column."
            )
        return column


def _entry(name: str, cell: Any) -> ImageSource:
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return NoImage(name, "is a row without an image") if cell is None else Entry(name, bytes(cell))
