"""CLIP-IQA on Ray: a class for Ray Data, and the engine for shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CLIPIQAError
from .errors.arguments import checked
from .prompts.pairs import Prompts
from .scoring.score import ScoringOptions, Work
from .scoring.shards.ray_engine import RayEngine
from .sources.parquet import cell_source

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["RayEngine", "Scorer"]

_BYTES = ("bytes", "image", "jpg", "jpeg", "png", "webp", "img")


class Scorer:
    """Class for ``ray.data.Dataset.map_batches``: a call scores the bytes of image files.

    An image that cannot be scored has NaN scores and an ``error``.

    Args:
        metric: A ``CLIPIQA``, or a function that makes a ``CLIPIQA``.
        prompts: As for :func:`~clipiqa_pyiqa.score_paths`.
        column: Column of bytes, or of dicts with ``bytes``; None looks for a usual name, such as ``'image'``.
        name_column: Column of image names, for messages.
        **options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_paths`.

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
        **options: Unpack[ScoringOptions],
    ) -> None:
        work = Work(metric, prompts, **options)
        self._work = work.on(work.device)
        self._columns, self._name_column = _BYTES if column is None else (column,), name_column

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the batch with its score columns and ``error``."""
        column = next((name for name in self._columns if name in batch), None)
        if column is None:
            names = ", ".join(self._columns)
            raise CLIPIQAError(
                f"there is no column of images ({names}): the columns are {', '.join(batch)}; pass column=NAME."
            )
        cells = batch[column]
        names = batch.get(self._name_column, batch.get("__key__", range(len(cells))))
        rows = list(self._work.rows(cell_source(str(name), cell) for name, cell in zip(names, cells, strict=True)))
        columns = self._work.header.columns
        scores = np.array([row.scores or (np.nan,) * len(columns) for row in rows], float).reshape(-1, len(columns))
        found = {column: scores[:, place] for place, column in enumerate(columns)}
        return {**batch, **found, "error": np.array([row.error for row in rows], object)}
