"""Scoring a batch with every metric: those of equal encoding share one pass of it, the others score singly."""

from __future__ import annotations

import contextlib
import math
import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..datasets.specification import CompareError
from ..errors import CLIPIQAError, counted
from ..files.journal import JournalFolder
from .metrics import BuiltMetric

_LONGEST = 300  # characters of somebody else's error message
UNREADABLE = ""  # in place of a metric: the image itself could not be read


@dataclass(frozen=True)
class StoredScore:
    """One metric on one image.

    Attributes:
        score: None if there is none.
        seconds: Time in the metric.
        error: Why there is no score; empty if there is one.
    """

    score: float | None
    seconds: float
    error: str = ""


ScoreStore: TypeAlias = JournalFolder[StoredScore]
"""The scores of one data set: entries by metric and by path."""


def group_metrics(metrics: Sequence[BuiltMetric]) -> list[list[BuiltMetric]]:
    """Group metrics that look at an image the same way: ours with one encoding, or any other metric alone."""
    groups: dict[Any, list[BuiltMetric]] = {}
    for metric in metrics:
        groups.setdefault(id(metric) if metric.net is None else metric.net.encoding, []).append(metric)
    return list(groups.values())


def score_group(
    group: Sequence[BuiltMetric], x: Tensor, seed: int = 0, reference: Tensor | Sequence[str] = ()
) -> Iterator[tuple[BuiltMetric, int, StoredScore]]:
    """Yield what each member makes of each image; whatever fails becomes an entry that says why.

    Args:
        group: Of :func:`group_metrics`.
        x: Images ``(N, 3, H, W)`` in [0, 1], on the device of the metrics.
        seed: Of whatever a metric draws, for each image anew, so that its score depends on the image alone.
        reference: For full-reference metrics, of the shape of ``x``; or why there is none, of each image.

    Yields:
        The metric, the number of the image in the batch, and the entry. The time of a shared pass counts for each
        member, as if it were alone.
    """
    net = group[0].net
    if net is None:
        for number in range(len(x)):
            yield group[0], number, _score_alone(group[0], x, number, seed, reference)
        return
    why = ""
    try:
        start = time.perf_counter()
        with torch.no_grad():
            features = net.encode_image(x)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        encoding = (time.perf_counter() - start) / len(x)
    except Exception as error:  # only its words are kept, as the error itself keeps the failed pass's tensors alive
        why = failure(error)
    if why and len(x) > 1:  # one image may spoil a batch, or the batch be too large
        for number in range(len(x)):
            for metric, _, entry in score_group(group, x[number : number + 1], seed):
                yield metric, number, entry
        return
    for metric in group:
        entries = [StoredScore(None, math.nan, why)]
        if not why and metric.net is not None:
            entries = _entries(len(x), partial(metric.net.score, features), encoding)
        for number, entry in enumerate(entries):
            yield metric, number, entry


def failure(error: BaseException) -> str:
    """An exception in a few words: its own message if it is ours, else with its type, without line breaks."""
    text = " ".join(str(error).split())
    if isinstance(error, CLIPIQAError):
        return text.rstrip(".")
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"{type(error).__name__}: {text}".rstrip(": .")


def missing_file(error: BaseException) -> str:
    """Return what to fetch by hand where pyiqa or torchvision could not; empty if nothing was being fetched."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    if "download_url_to_file" not in names:  # torch's, through which both fetch
        return ""
    asked = frames[names.index("download_url_to_file")].f_locals
    said = f"; fetch {asked['url']} and save it as {asked['dst']}"
    takes_it = "load_file_from_url" in names  # pyiqa's; torchvision's towers are no option
    return f"{said}, or name a copy (pretrained_model_path=FILE)" if takes_it else said


@contextlib.contextmanager
def own_random_state() -> Iterator[None]:
    """Keeps the seeding of metrics from the generators of whoever calls."""
    ours = random.getstate()
    numpys = np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


def _score_alone(
    metric: BuiltMetric, x: Tensor, number: int, seed: int, reference: Tensor | Sequence[str]
) -> StoredScore:
    given = [x[number : number + 1]]
    if metric.spec.mode == "FR":
        if not isinstance(reference, Tensor):
            return StoredScore(None, math.nan, reference[number])
        given.append(reference[number : number + 1])
    if metric.spec.made is not None:  # a stranger may work in place on what others get next
        given = [each.clone() for each in given]
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return _entries(1, partial(metric.score, *given))[0]


def _entries(count: int, score: Callable[[], Any], seconds_before: float = 0.0) -> list[StoredScore]:
    """Return an entry per image of what a metric scores, or of why it does not."""
    start = time.perf_counter()
    try:
        with torch.no_grad():
            output = score()
            output = output[0] if isinstance(output, tuple | list) else output
            values = torch.as_tensor(output).detach().double().flatten().tolist()  # which waits for the device
        if len(values) != count:
            raise CompareError(
                f"{counted(len(values), 'score')} came for {counted(count, 'image')}, but a comparison needs one each "
                "(of several prompt pairs the mean: aggregate=mean)"
            )
    except Exception as error:
        return [StoredScore(None, math.nan, failure(error))] * count
    seconds = seconds_before + (time.perf_counter() - start) / count
    return [
        StoredScore(value, seconds) if math.isfinite(value) else StoredScore(None, seconds, f"its score is {value}")
        for value in values
    ]
