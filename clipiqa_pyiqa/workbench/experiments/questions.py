"""The metrics of an experiment, and the questions that its CLIP-IQA is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...errors import CLIPIQAError
from ...options import metric_from, net_of
from ...prompts.pairs import parse_questions
from ...text import few
from ..metrics.building import build_clipiqa
from ..metrics.description import Description, ObjectDescription, PyiqaDescription
from ..metrics.kinds import AnyMetric, ClipMetric
from ..metrics.parsing import parse_metrics


def metrics_with_questions(
    metric: Any, prompts: Any = None, template: str | None = None, default: Any = None
) -> list[AnyMetric]:
    """Return the metrics of an experiment.

    Args:
        metric: A CLIP-IQA, or metrics as for :func:`~clipiqa_pyiqa.workbench.metrics.parsing.parse_metrics`.
        prompts: Questions for the (first) metric, a CLIP-IQA.
        default: Questions for a CLIP-IQA that stands alone, if there are no ``prompts`` and it has learned none.
    """
    metrics = parse_metrics(metric_from(metric))
    if prompts is None:
        prompts = _default_prompts(metrics[0], template, default)
    if prompts is None:
        return metrics
    return parse_metrics(metrics, parse_questions(prompts, template))


def _default_prompts(first: AnyMetric, template: str | None, default: Any) -> Any:
    """Return the questions for the first metric if the user names none; None: it has its own, or takes none."""
    if not isinstance(first, Description) or first.label or first.questions or _is_learned(first):
        return None
    if default:
        return default
    return "quality" if template or first.name == "clipiqa" else None


def _is_learned(description: Description) -> bool:
    """Return whether this is a CLIP-IQA with learned prompts or a head, which is asked nothing else."""
    if description.name.startswith("clipiqa+"):
        return True
    if not isinstance(description, ObjectDescription):
        return False
    net = getattr(description.instance, "net", description.instance)
    return hasattr(net, "questions") and net.questions is None


def without_unknown(metric: ClipMetric) -> tuple[ClipMetric, list[str]]:
    """Return a built CLIP-IQA without the questions whose words its CLIP never saw, and these questions' names."""
    clip = getattr(metric.net, "clip", None)
    if clip is None or metric.questions is None:
        return metric, []
    texts = {name: [text for pair in pairs for text in pair.texts] for name, pairs in metric.questions.items()}
    unknown = [name for name in texts if not clip.knows(*texts[name])]
    return metric.only([name for name in metric.questions if name not in unknown]), unknown


def built_with_known_questions(metric: AnyMetric, device: torch.device) -> tuple[ClipMetric, list[str]]:
    """Return a CLIP-IQA, built without the questions whose words its CLIP never saw, and these questions' names.

    Raises ``CLIPIQAError`` if no question is left.
    """
    clipiqa, unknown = without_unknown(build_clipiqa(metric, device))
    if unknown and not clipiqa.questions:
        raise CLIPIQAError(
            f"{clipiqa.backbone} never saw the words of any attribute ({few(unknown)}): use another backbone."
        )
    return clipiqa, unknown


def is_asked_prompts(metric: AnyMetric) -> bool:
    """Return whether a metric is a CLIP-IQA that is asked prompts, each in a column of its own."""
    return getattr(metric, "questions", None) is not None and not metric.label


def is_asked_defaults(metrics: Sequence[AnyMetric], prompts: Any, defaults: Iterable[str]) -> bool:
    """Return whether the metrics are one CLIP-IQA that is asked an experiment's own questions, since none are named."""
    return prompts is None and column_names(metrics) == list(defaults)


def column_names(metrics: Iterable[AnyMetric]) -> list[str]:
    """Return the names of the columns that metrics fill, before they are built."""
    names = list[str]()
    for metric in metrics:
        names += _column_names(metric)
    return names


def _column_names(metric: AnyMetric) -> Sequence[str]:
    """Return the names of the columns that a metric fills, before it is built."""
    if metric.label:
        return [metric.label]
    if not isinstance(metric, Description):
        return [column.name for column in metric.columns]
    if metric.questions is not None:
        return list(parse_questions(metric.questions))
    if isinstance(metric, PyiqaDescription):
        learned_prompts = metric.options.get("pretrained_model_path", metric.name)
        return [Path(learned_prompts).stem]
    assert isinstance(metric, ObjectDescription)
    return list(net_of(metric.instance).columns)
