"""Metrics that are ready to score, and the metrics of a run, which share the encoding of images."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import sys
import textwrap
import traceback
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from ..datasets.published_correlations import ENSEMBLE, variant
from ..datasets.specification import parse_specifications
from ..errors import CLIPIQAError, WeightsError, import_pyiqa
from ..family import MEMBERS
from ..files.hashes import hash_file
from ..metric import CLIPIQA, net_of
from ..prompts.pairs import PRESETS, Columns, PromptPair, Prompts, parse_columns
from ..prompts.provenance import column_records
from ..results.columns import Column
from .metric_specs import MetricSpec, check_weights, parse_metrics

log = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class BuiltMetric:
    """A metric that is ready to score.

    Attributes:
        score: Function of images ``(N, 3, H, W)`` in [0, 1], in ``'FR'`` mode also of references.
        net: CLIP metric of this package, or None.
        columns: Names of the scores of one image.
        questions: Questions for ``net``; None means the metric's own.
        state: Hash of what an object holds; empty if there is nothing to hash.
    """

    spec: MetricSpec
    score: Any
    net: Any
    provenance: Mapping[str, Any]
    published_as: str = ""
    columns: tuple[str, ...] = ()
    questions: Columns | None = None
    state: str = ""

    @property
    def records(self) -> dict[str, Any]:
        if self.net is None:
            ends = [None if not end or "~" in end else float(end) for end in f"{self.spec.score_range},".split(",")[:2]]
            record = {**self.provenance, "range": ends, "lower_better": self.spec.lower_better}
            return {self.columns[0]: record if self.spec.made is None else {**record, "state": self.state or None}}
        if self.questions is not None:
            return column_records(self.questions)
        return dict(self.provenance["scores"])

    def score_features(self, features: Any) -> torch.Tensor:
        """Return the scores ``(N, P)`` of image features."""
        score = self.net.score
        scores: torch.Tensor = score(features) if self.questions is None else score(features, self.questions)
        return scores

    @property
    def is_named(self) -> bool:
        return self.net is None and self.spec.made is None

    def on(self, device: torch.device) -> BuiltMetric:
        """Return the metric on a device; a metric of pyiqa is built again from its name."""
        if self.is_named:
            return _or_failing(self.spec, build_or_explain(self.spec, device))
        for each in (self.score, self.net):
            if isinstance(each, torch.nn.Module):
                each.to(device).eval()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "score": None} if self.is_named else vars(self)


class MetricSet:
    """The metrics of a run; those of this package share the encoding of images.

    Args:
        named: Whether each metric has its own column, as in ``clipiqa score --metrics``.
    """

    def __init__(self, metrics: Sequence[BuiltMetric], named: bool = True) -> None:
        self.metrics, self.named = tuple(metrics), named
        self.groups: dict[Any, list[int]] = {}
        for place, metric in enumerate(self.metrics):
            if metric.net is not None:
                self.groups.setdefault(getattr(metric.net, "encoding", id(metric.net)), []).append(place)
        self.foreign = [place for place, metric in enumerate(self.metrics) if metric.net is None]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(
            Column(name, {**{key: value for key, value in metric.provenance.items() if key != "scores"}, **record})
            for metric in self.metrics
            for name, record in zip(metric.columns, metric.records.values(), strict=False)
        )

    def by_metric(self, found: Sequence[bool | None]) -> list[bool | None]:
        """Return for each metric whether all its columns are known; None if a run had not come to one of them."""
        columns = iter(found)
        groups = [[next(columns) for _ in metric.columns] for metric in self.metrics]
        return [None if None in group else all(group) for group in groups]

    def by_column(self, wanted: Sequence[bool]) -> tuple[bool, ...]:
        return tuple(each for metric, each in zip(self.metrics, wanted, strict=True) for _ in metric.columns)

    def on(self, device: torch.device) -> MetricSet:
        return MetricSet([metric.on(device) for metric in self.metrics], self.named)


def metric_set(
    given: Any,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    device: torch.device | None = None,
    *,
    trust_weights: bool = False,
    strict: bool = False,
) -> MetricSet:
    """Return the metrics of a run.

    Args:
        given: A CLIP-IQA or a function that makes one; or names, options and objects as for
            :func:`~.metric_specs.parse_metrics`.
        prompts: Questions as for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`, for a single metric with prompts.
        device: Device of metrics that are given by name.
        trust_weights, strict: As for :func:`~clipiqa_pyiqa.comparison.compare.compare`.

    Raises:
        CLIPIQAError: A metric is unknown, cannot be used or rates no single images; or no metric can be built.
    """
    wrapped = getattr(given, "net", None)
    is_theirs = wrapped is not None and not hasattr(wrapped, "encode_image")
    if not is_theirs and not isinstance(given, str | Mapping | list | tuple):
        net = net_of(given)
        questions = None if prompts is None else parse_columns(prompts, getattr(net, "template", None))
        columns = tuple(net.columns if questions is None else questions)
        spec = MetricSpec("", made=given)
        return MetricSet([BuiltMetric(spec, net, net, net.provenance(), "", columns, questions)], named=False)
    if prompts is not None:
        raise CLIPIQAError("prompts must be None: each of several metrics has its own prompts.")
    specifications = [
        replace(each, label=each.label or each.target) if isinstance(each.target, str) else each
        for each in parse_specifications(given, "metric")
    ]
    specs = parse_metrics(specifications)
    check_weights(specs, trust_weights)
    found = [build_or_explain(spec, device or torch.device("cpu"), strict=strict) for spec in specs]
    if all(isinstance(each, str) for each in found):
        raise CLIPIQAError(f"metric {specs[0].label!r} cannot be used: {found[0]}")
    metrics = [_or_failing(spec, each) for spec, each in zip(specs, found, strict=True)]
    for metric in metrics:
        if metric.net is not None and len(metric.net.columns) != 1:
            raise CLIPIQAError(f"metric {metric.spec.label!r} must give one score for each image: leave out aggregate.")
    return MetricSet(metrics)


def _or_failing(spec: MetricSpec, metric: BuiltMetric | str) -> BuiltMetric:
    if isinstance(metric, BuiltMetric):
        return metric

    def score(*_: Any) -> Any:
        raise CLIPIQAError(metric)

    return BuiltMetric(spec, score, None, spec.provenance, columns=(spec.label,))


def build_or_explain(spec: MetricSpec, device: torch.device, seed: int = 0, strict: bool = False) -> BuiltMetric | str:
    try:
        return build_metric(spec, device, seed)
    except Exception as error:
        name = spec.name or "NAME"
        log.error("metric %s cannot be built: %s", spec.label, _as_named(str(error), name))  # all lines of the error
        reason = f"it cannot be built: {_as_named(describe_error(error), name)}{_missing_file(error)}."
        if strict:
            raise CLIPIQAError(f"metric {spec.label}: {reason}") from error
        return reason


def build_metric(spec: MetricSpec, device: torch.device, seed: int = 0) -> BuiltMetric:
    score: Any = spec.made
    if isinstance(score, torch.nn.Module):
        score = score.to(device)
    elif spec.is_ours:
        score = create_ours(spec.name, device, **spec.options)
    elif score is None:
        score = _create_theirs(spec, device)
    net, columns = getattr(score, "net", score), (spec.label,)
    published_as = "" if spec.options else spec.name
    if hasattr(net, "encoding"):  # a CLIP metric of this package
        published_as = _published_name(spec, net) if isinstance(net, CLIPIQA) else published_as
        return BuiltMetric(spec, score, net, net.provenance(), published_as, columns)
    provenance = {**spec.provenance, "pyiqa": version("pyiqa")}
    if seed:
        provenance["seed"] = str(seed)
    for key, value in spec.options.items():
        if isinstance(value, str) and os.path.isfile(value):
            provenance[key] = f"{Path(value).name} {hash_file(Path(value))[:8]}"
    state = "" if spec.made is None else _state(net)
    return BuiltMetric(spec, score, None, provenance, published_as, columns, state=state)


def create_ours(name: Any, device: torch.device, **options: Any) -> Any:
    return MEMBERS.get(name, CLIPIQA)(name, **options).to(device).eval()


def _create_theirs(spec: MetricSpec, device: torch.device) -> Any:
    with contextlib.redirect_stdout(sys.stderr), _downloads_refused_if_offline():  # pyiqa prints what it loads
        if spec.name:
            return import_pyiqa().create_metric(spec.name, device=device, **spec.options)
        return import_pyiqa(".archs").build_network(dict(spec.options)).to(device).eval()


@contextlib.contextmanager
def _downloads_refused_if_offline() -> Iterator[None]:
    # pyiqa and torchvision do not know HF_HUB_OFFLINE
    from huggingface_hub import constants

    def download_url_to_file(url: str, dst: str = "", *_: Any, **__: Any) -> None:
        raise WeightsError("HF_HUB_OFFLINE is set, which forbids downloads")

    with contextlib.ExitStack() as stack:
        if constants.HF_HUB_OFFLINE:
            for module in (torch.hub, import_pyiqa(".utils.download_util")):
                stack.enter_context(mock.patch.object(module, "download_url_to_file", download_url_to_file))
            stack.enter_context(mock.patch.object(urllib.request, "urlopen", download_url_to_file))
        yield


def _state(made: Any) -> str:
    digest, is_empty = hashlib.sha256(repr(type(made)).encode()), True
    for name, value in values_of(made):
        if isinstance(value, str | bytes | int | float | bool | tuple | None):
            is_empty = False
            digest.update(f"{name} {value!r}".encode())
    return "" if is_empty else digest.hexdigest()[:16]


def values_of(made: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values that an object and its networks hold; tensors and arrays become bytes."""
    parts, held = [made], list[tuple[str, Any]]()
    if isinstance(made, torch.nn.Module):
        parts, held = list(made.modules()), list(made.state_dict().items())
    for part in parts:
        for name, value in getattr(part, "__dict__", {}).items():
            if isinstance(value, torch.nn.Module):
                yield from values_of(value)
            elif not name.startswith("_"):
                held.append((name, value))
    for name, value in held:
        if isinstance(value, torch.Tensor | np.ndarray):
            value = np.asarray(torch.as_tensor(value).detach().cpu().double()).tobytes()
        yield name, value


def describe_error(error: BaseException) -> str:
    if isinstance(error, CLIPIQAError):
        return str(error).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300, placeholder='…')}".rstrip(": .")


def _as_named(text: str, name: str) -> str:
    # options of CLIP belong into the metric's name, in Python and in a shell
    return re.sub(r"\b(backbone|clip_weights)='?(\w+)'?", rf"{name}:\1=\2", text)


def _missing_file(error: BaseException) -> str:
    # after a failed download: a clause about the file to fetch by hand
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    if "download_url_to_file" not in names:  # torch's function, which pyiqa and torchvision call
        return ""
    download = frames[names.index("download_url_to_file")].f_locals
    text = f"; fetch {download['url']}" + (f" and save it as {download['dst']}" if download["dst"] else "")
    is_option = "load_file_from_url" in names  # pyiqa's function; torchvision's networks have no such option
    return f"{text}, or name a copy (NAME:pretrained_model_path=FILE)" if is_option else text


def _published_name(spec: MetricSpec, net: CLIPIQA) -> str:
    # all published correlations are of OpenAI's weights
    weights = net.clip.weights
    if weights.tag != "openai":
        return ""
    if net.prompt_learner is not None:
        return spec.name if set(spec.options) <= {"precision", "clip_weights"} and spec.made is None else ""
    if net.prompts == PRESETS["pyiqa"] and weights.backbone == "RN50" and net.pos_embedding == "none":
        return ENSEMBLE
    if len(net.prompts) == 1:
        return variant(weights.backbone, net.pos_embedding, net.prompts[0].positive, net.prompts[0].negative)
    return ""
