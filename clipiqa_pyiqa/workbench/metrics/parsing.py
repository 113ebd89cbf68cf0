"""Metrics as users name them, alone or in lists: each becomes a description that can be built, or scores of a file."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import CLIPIQAError
from ...prompts.pairs import Prompts, Question
from ...text import shown
from ..files.specifications import Specification, parse_specifications
from ..sources.addresses import is_remote
from .description import Description, ObjectDescription, PyiqaDescription, Takes
from .file_scores import read_file_metric
from .kinds import AnyMetric, FileMetric, ImageMetric
from .named_metric import OF_SETS, architecture_of, named_metric, takes_of_mode
from .told_record import told_record

AnyPrompts = Prompts | Mapping[str, Sequence[Question]]
_OTHERWISE = {
    Takes.FOLDERS: "rates a set of images: use `clipiqa table`",
    Takes.PAIR: "needs a reference image: use `clipiqa table`",
    Takes.NAME: "has its scores in a file: use `clipiqa score`, `compare` or `table`",
}


def parse_metrics(
    metrics: Any, prompts: AnyPrompts = None, *, also: Collection[Takes] = (), trust_weights: bool = False
) -> list[AnyMetric]:
    """Return the metrics that the caller names; nothing is built.

    Args:
        metrics: A text such as ``'niqe'``, ``'mine=niqe:pretrained_model_path=FILE'``, a file of learned prompts or a
            head, or a file of scores; a mapping of label -> None, pyiqa's options or a metric object; or a list of
            these. A CLIP-IQA that stands alone, or a function that makes one, has a column for each question.
        prompts: Questions for the first metric, a CLIP-IQA, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_questions`.
        also: What metrics may take in place of an image.
    """
    if _stands_alone(metrics):
        return [ObjectDescription("", questions=prompts, instance=metrics)]
    parsed = [_metric_of(specification) for specification in parse_specifications(metrics, "metric")]
    if prompts is not None:
        parsed[0] = _with_prompts(parsed[0], prompts)
    labels = [metric.label for metric in parsed]
    for metric in parsed:
        _check_label(metric.label, labels)
        if metric.takes not in also:
            _check_scores_images(metric)
        if isinstance(metric, PyiqaDescription) and metric.options and not metric.is_ours:
            from ...weights.checkpoint import check_files_of_options  # imports torch

            check_files_of_options(metric.options, trust_weights)
    return parsed


def _stands_alone(metric: Any) -> bool:
    """Return whether the caller gave one metric on CLIP, or a function that makes one, without label."""
    net = getattr(metric, "net", None)
    is_pyiqas = net is not None and not hasattr(net, "encode_image")
    is_named = isinstance(metric, str | Mapping | list | tuple)
    return not is_pyiqas and not is_named and not isinstance(metric, Description | ImageMetric | FileMetric)


def _with_prompts(first: AnyMetric, prompts: AnyPrompts) -> Description:
    """Return a CLIP-IQA with a column for each of the prompts."""
    can_be_asked = isinstance(first, ObjectDescription) or (isinstance(first, PyiqaDescription) and first.is_clipiqa)
    if not isinstance(first, Description) or not can_be_asked:
        name = first.name if isinstance(first, Description) else first.label
        raise CLIPIQAError(f"the first metric is asked the prompts, so it must be a CLIP-IQA; got {name!r}.")
    return replace(first, label="", questions=prompts)


def _check_label(label: str, labels: Sequence[str]) -> None:
    if label in ("path", "mos"):
        raise CLIPIQAError(f"a metric cannot be called {label!r}, a column of the results: give it a label.")
    if labels.count(label) > 1:
        raise CLIPIQAError(
            f"two metrics are called {label!r}: give one of them a label, LABEL=NAME, or {{'LABEL': object}}."
        )


def _check_scores_images(metric: AnyMetric) -> None:
    why = _OTHERWISE.get(metric.takes, "")
    if not why and isinstance(metric, PyiqaDescription) and architecture_of(metric) == "CLIPScore":
        why = "needs a caption for each image"
    if why:
        raise CLIPIQAError(f"metric {metric.label!r} does not score single images, since it {why}.")


def _metric_of(specification: Specification) -> AnyMetric:
    target = specification.target
    if isinstance(target, Description | ImageMetric | FileMetric):
        return target.with_label(specification.label) if specification.label else target
    if not isinstance(target, str):
        return _object_metric(specification)
    if Path(target).suffix or os.path.isdir(target) or is_remote(target):
        from ..results.score_files import is_score_file  # many modules

        if is_score_file(target):
            return read_file_metric(specification.label, target, dict(specification.options))
    return named_metric(specification)


def _object_metric(specification: Specification) -> ObjectDescription:
    """Return the metric that is an object, or a function, of the caller."""
    instance = specification.target
    if not callable(instance):
        raise CLIPIQAError(f"a metric must be a name, options, or a function of images; got {shown(instance)}.")
    kind = instance if hasattr(instance, "__qualname__") else type(instance)
    name = getattr(instance, "metric_name", f"{kind.__module__}.{kind.__qualname__}")
    label = specification.label or name.rpartition(".")[2]
    is_of_sets = getattr(instance, "of_sets", False) or type(getattr(instance, "net", instance)).__name__ in OF_SETS
    takes = takes_of_mode(getattr(instance, "metric_mode", "NR"), is_of_sets)
    record = told_record(label, name, partial(getattr, instance))
    return ObjectDescription(label, name, takes, record=record, instance=instance)
