"""Answers of metrics: the scores of images, or the reason why there are none."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import CLIPIQAError, ImageError, Kind, describe_error
from ...machine import one_thread
from ...text import counted
from ..images.lack_of_memory import TOO_LARGE, is_out_of_memory
from ..images.record import ImageRecord
from ..images.stacking import stacked
from ..metrics.description import Takes
from ..metrics.kinds import BrokenMetric, ClipMetric, ImageMetric, ObjectMetric, PyiqaMetric
from .options import Options


class Answer(NamedTuple):
    """The scores of one metric for one image, or None with a reason; ``seconds`` is the time of scoring."""

    values: tuple[float, ...] | None = None
    seconds: float = math.nan
    error: str = ""
    kind: Kind | None = None


_SMALL = 96
"""Pixels of a side below which NIQE, whose blocks are that large, and others fail with errors about shapes."""
ScoringMetric = ClipMetric | PyiqaMetric | ObjectMetric | BrokenMetric


def answers_of_group(group: Sequence[ClipMetric], x: Tensor) -> list[list[Answer]]:
    """Return the answers of metrics that share the encoding of a batch ``(N, 3, H, W)``: a list for each metric."""
    start = time.perf_counter()
    try:
        features = group[0].net.encode_image(x)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
    except Exception as error:
        if len(x) == 1:
            return [[_failure(error)] for _ in group]
        if is_out_of_memory(error):
            raise
        raise ImageError(describe_error(error)) from error  # each image of the batch is tried alone
    seconds = (time.perf_counter() - start) / len(x)
    return [_answers_of_call(metric, len(x), partial(metric.score_features, features), seconds) for metric in group]


def answers_one_by_one(
    metrics: Mapping[int, ScoringMetric], options: Options, record: ImageRecord, wanted: Sequence[bool]
) -> dict[int, Answer]:
    """Return the answers of metrics that score one image at a time, or are broken, by the metric's position."""
    pythons = random.getstate()
    numpys = np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            chosen = {position: metric for position, metric in metrics.items() if wanted[position]}
            return {position: _answer_alone(metric, record, options) for position, metric in chosen.items()}
    finally:  # what the caller draws does not depend on scoring
        random.setstate(pythons)
        np.random.set_state(numpys)


def _answer_alone(metric: ScoringMetric, record: ImageRecord, options: Options) -> Answer:
    _seed_all(options.seed)
    if isinstance(metric, BrokenMetric):  # in a process of its own
        return Answer(error=metric.reason, kind=Kind.OTHER)
    if not isinstance(metric, ClipMetric) and metric.takes is Takes.FOLDERS:
        return _answers_of_call(metric, 1, partial(metric.score_folders, record.folders))[0]
    images = [record.pixels]
    if metric.takes is Takes.PAIR:
        if record.reference is None:
            return Answer(error=record.why_no_reference, kind=Kind.OTHER)
        images.append(record.reference)
    # a fresh copy each, since an object may change its input
    batches = [stacked([pixels], options.device).contiguous() for pixels in images]
    # BRISQUE depends on the order of its sums
    is_sensitive = isinstance(metric, PyiqaMetric) and metric.takes is Takes.IMAGE and not metric.has_parameters
    with one_thread(is_sensitive):
        return _answers_of_call(metric, 1, partial(metric.score, *batches), about_size=_about_size(record))[0]


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _about_size(record: ImageRecord) -> str:
    """Return what precedes errors of a metric on a small image; empty for a large one.

    torch's errors name shapes inside the metric, and do not say that the image is the cause.
    """
    width, height = record.size
    is_small = min(width, height) < _SMALL
    return f"an image of {width}×{height} pixels may be too small for it; " if is_small else ""


def _answers_of_call(
    metric: ImageMetric, count: int, score: Callable[[], Any], seconds: float = 0.0, about_size: str = ""
) -> list[Answer]:
    """Return the answers for ``count`` images from what ``score()`` returns.

    Args:
        seconds: Those that were spent before on each image.
        about_size: What precedes errors that are not of this package.
    """
    start = time.perf_counter()
    try:
        returned = score()
        scores = returned[0] if isinstance(returned, tuple | list) else returned
        rows = rounded(torch.as_tensor(scores))  # waits for the device
        _check_count(sum(map(len, rows)), count, len(metric.columns))
    except Exception as error:
        return [_failure(error, about_size)] * count
    seconds += (time.perf_counter() - start) / count
    has_hint = isinstance(metric, ClipMetric) and getattr(metric.net, "precision", "fp32") != "fp32"
    hint = "; try precision fp32" if has_hint else ""
    return [_checked(values, seconds, hint) for values in rows]


def _check_count(scores: int, images: int, columns: int) -> None:
    """Raise ``CLIPIQAError`` unless so many scores are one for each image and column."""
    if scores != images * columns:
        raise CLIPIQAError(
            f"{counted(scores, 'score')} came for {counted(images, 'image')}, but each image needs "
            f"{counted(columns, 'score')} (with several prompt pairs, set aggregate=mean)"
        )


def _checked(scores: tuple[float, ...], seconds: float, hint: str) -> Answer:
    """Return the answer of these scores, which must be finite."""
    if all(map(math.isfinite, scores)):
        return Answer(scores, seconds)
    why = f"its score is not finite ({', '.join(map(str, scores))}){hint}"
    return Answer(None, seconds, why, Kind.NOT_FINITE)


def _failure(error: Exception, about_size: str = "") -> Answer:
    """Return the answer of a metric that raised this error; ``about_size`` precedes one that is not of this package."""
    if is_out_of_memory(error):
        torch.cuda.empty_cache()
        return Answer(error=TOO_LARGE, kind=Kind.OUT_OF_MEMORY)
    if isinstance(error, CLIPIQAError):
        return Answer(error=describe_error(error), kind=error.kind)
    return Answer(error=f"{about_size}{describe_error(error)}", kind=Kind.OTHER)


def rounded(scores: Tensor) -> list[tuple[float, ...]]:
    """Return scores ``(N, P)``, ``(N,)`` or a single one, each the shortest decimal of its fp32 number."""
    rows = scores.reshape(len(scores), -1).tolist() if scores.ndim else [[scores.item()]]
    if scores.dtype == torch.float64 or not scores.is_floating_point():
        return [tuple(map(float, row)) for row in rows]
    return [tuple(float(str(np.float32(value))) for value in row) for row in rows]
