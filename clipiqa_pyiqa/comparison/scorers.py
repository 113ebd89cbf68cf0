"""Scoring a batch with every metric: CLIP-IQA variants share one pass of their encoder, the others score singly."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Group:
    """Metrics that look at an image the same way: CLIP-IQAs with one encoder, or any other metric alone."""

    metrics: tuple[BuiltMetric, ...]

    @property
    def shared(self) -> bool:
        """Whether the members ask different questions about the same features."""
        return self.metrics[0].net is not None


def group_metrics(metrics: Sequence[BuiltMetric]) -> list[Group]:
    """Group metrics by encoder, in order of their first member."""
    groups: dict[Any, list[BuiltMetric]] = {}
    for metric in metrics:
        net = metric.net
        encoder = (
            (
                *(net.clip.weights.sha256, net.clip.weights.quick_gelu, net.pos_embedding, net.precision),
                net.head is not None and net.head.on_stages,
            )
            if net is not None
            else id(metric)
        )
        groups.setdefault(encoder, []).append(metric)
    return [Group(tuple(members)) for members in groups.values()]


def score_group(
    group: Group, x: Tensor, seed: int = 0, reference: Tensor | Sequence[str] = ()
) -> Iterator[tuple[BuiltMetric, int, StoredScore]]:
    """What each member makes of each image, as it comes; whatever fails becomes an entry that says why.

    Args:
        group: The metrics.
        x: Images ``(N, 3, H, W)`` in [0, 1], on the device of the metrics.
        seed: Of whatever a metric draws, for each image anew, so that its score depends on the image alone.
        reference: For full-reference metrics, of the shape of ``x``; or why there is none, of each image.

    Yields:
        The metric, the number of the image in the batch, and the entry. The time of a shared pass counts for each
        member, as if it were alone.
    """
    if not group.shared:
        for metric in group.metrics:
            for number in range(len(x)):
                given = [x[number : number + 1]]
                if metric.spec.mode == "FR":
                    if not isinstance(reference, Tensor):
                        yield metric, number, StoredScore(None, math.nan, reference[number])
                        continue
                    given.append(reference[number : number + 1])
                yield metric, number, _score_alone(metric, given, seed)
        return
    encoded = _encode(group, x)
    if isinstance(encoded, str) and len(x) > 1:  # one image may spoil a batch, or the batch be too large
        for number in range(len(x)):
            for metric, _, entry in score_group(group, x[number : number + 1], seed):
                yield metric, number, entry
        return
    for metric in group.metrics:
        entries = [StoredScore(None, math.nan, encoded)] if isinstance(encoded, str) else _ask(metric, *encoded)
        for number, entry in enumerate(entries):
            yield metric, number, entry


def failure(error: BaseException) -> str:
    """An exception in a few words: its own message if it is ours, else with its type, without line breaks."""
    text = " ".join(str(error).split())
    if isinstance(error, CLIPIQAError):
        return text.rstrip(".")
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"{type(error).__name__}: {text}".rstrip(": .")


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


def _encode(group: Group, x: Tensor) -> tuple[Tensor, float] | str:
    """Features and the seconds that each image took; or why there are none."""
    net = group.metrics[0].net
    assert net is not None
    try:
        with torch.no_grad():
            start = time.perf_counter()
            features = net.encode_image(x)
            return features, (_now(x.device) - start) / len(x)
    except Exception as error:  # only its words leave here, as the error itself keeps the failed pass's tensors alive
        return failure(error)


def _ask(metric: BuiltMetric, features: Tensor, encoding: float) -> list[StoredScore]:
    assert metric.net is not None
    try:
        with torch.no_grad():
            start = time.perf_counter()
            values = _values(metric.net.score(features), len(features))
            seconds = encoding + (time.perf_counter() - start) / len(features)
    except Exception as error:
        return [StoredScore(None, math.nan, failure(error))] * len(features)
    return [_entry(value, seconds) for value in values]


def _score_alone(metric: BuiltMetric, given: Sequence[Tensor], seed: int) -> StoredScore:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if metric.spec.made is not None:  # a stranger may work in place on what others get next
        given = [x.clone() for x in given]
    try:
        with torch.no_grad():
            start = time.perf_counter()
            (value,) = _values(metric.score(*given), 1)
            return _entry(value, time.perf_counter() - start)
    except Exception as error:
        return StoredScore(None, math.nan, failure(error))


def _values(output: Any, count: int) -> list[float]:
    """One number per image; reading them waits for the device."""
    output = output[0] if isinstance(output, tuple | list) else output
    values = torch.as_tensor(output).detach().double().flatten().tolist()
    if len(values) != count:
        raise CompareError(
            f"{counted(len(values), 'score')} came for {counted(count, 'image')}, but a comparison "
            "needs one each (of several prompt pairs "
            "the mean: aggregate=mean)"
        )
    return values


def _entry(value: float, seconds: float) -> StoredScore:
    if not math.isfinite(value):
        return StoredScore(None, seconds, f"its score is {value}")
    return StoredScore(value, seconds)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
