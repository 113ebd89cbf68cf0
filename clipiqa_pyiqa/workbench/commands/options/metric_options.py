"""Options that describe metrics, and the metrics that they describe."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ....errors import OptionError
from ..command_line import as_given
from .flags import CLIP, OPTIONS, QUESTIONS, RARE
from .groups import stated

if TYPE_CHECKING:
    from ...metrics.description import PyiqaDescription, Takes
    from ...metrics.kinds import AnyMetric


@Parameter(name="*", group=CLIP)
@dataclass(frozen=True)
class Model:
    """Which CLIP.

    Args:
        backbone: RN50, mini (bundled), … (see `clipiqa weights`); default: that of learned prompts, else RN50
        clip_weights: a checkpoint file, or an open_clip tag; default: OpenAI's weights
        pos_embedding: positional embedding: none (default), interpolate, or fixed (resize and crop to 224 px)
        precision: number format: fp32 (default), bf16 or fp16
        quick_gelu: whether an unpublished checkpoint uses QuickGELU; default: yes
    """

    backbone: Annotated[str | None, Parameter(alias="-b", metavar="NAME", group=OPTIONS)] = None
    clip_weights: Annotated[str | None, Parameter(metavar="FILE|TAG")] = None
    pos_embedding: Annotated[str | None, Parameter(metavar="MODE")] = None
    precision: Annotated[str | None, Parameter(metavar="KIND")] = None
    quick_gelu: Annotated[bool | None, Parameter(negative_bool="no-")] = None

    def chosen_options(self) -> dict[str, Any]:
        return stated(self)


@Parameter(name="*", group=QUESTIONS)
@dataclass(frozen=True)
class Questions:
    """Questions.

    Args:
        prompts: named pairs (see `clipiqa prompts`), presets, 'positive|negative', or 'single:text'; default: quality
        template: wording of the pairs, such as 'A photo of {}.'
        learned_prompts: a file that `clipiqa train` or `clipiqa fit` wrote, or a published name: clipiqa+,
            clipiqa+_rn50_512, clipiqa+_vitL14_512
    """

    prompts: Annotated[Sequence[str], Parameter(alias="-p", metavar="PROMPT", group=OPTIONS)] = ()
    template: str | None = None
    learned_prompts: Annotated[str | None, Parameter(metavar="FILE|NAME")] = None

    @property
    def are_asked(self) -> bool:
        """Whether questions are named; a template alone only words the default one."""
        return bool(self.prompts) or self.learned_prompts is not None

    def check_template(self) -> None:
        """Raise ``OptionError`` for a template without pairs to word: beside named metrics, no pair is usual."""
        if self.template is not None and not self.are_asked:
            raise OptionError(
                "`template` words the pairs of `prompts`, and there are none: add `prompts`, or leave it out.",
                options=("template", "prompts"),
            )

    def described_clipiqa(self, model: Model) -> PyiqaDescription:
        """Return the CLIP-IQA that the options describe, before it is built; it has a column for each question."""
        from ....prompts.pairs import parse_questions
        from ...metrics.description import PyiqaDescription

        options = model.chosen_options()
        name = self.learned_prompts
        if name is None:
            questions = None
            if self.prompts or self.template is not None:
                questions = parse_questions(list(self.prompts) or None, self.template)
            return PyiqaDescription("", "clipiqa", options=options, questions=questions)
        if self.prompts or self.template is not None:
            raise OptionError(
                "learned_prompts excludes `prompts` and `template`: leave them out.",
                options=("learned_prompts", "template", "prompts"),
            )
        is_published = name.startswith("clipiqa+") and not os.path.exists(name)
        if is_published:
            return PyiqaDescription("", name, options=options)
        return PyiqaDescription("", "clipiqa+", options={**options, "pretrained_model_path": name})


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class MetricOptions:
    """Metrics.

    Args:
        metrics: any of pyiqa's, such as niqe, as [LABEL=]NAME[:KEY=VALUE,…]; or a file of scores, learned prompts or
            a head
        trust_weights: load files and URLs that could run code
    """

    questions: Questions = Questions()
    metrics: Annotated[
        Sequence[str] | dict[str, Any], Parameter(alias="-m", metavar="METRIC", converter=as_given, accepts_keys=False)
    ] = ()
    model: Model = Model()
    trust_weights: Annotated[bool, Parameter(group=RARE)] = False

    def chosen(self, also: Collection[Takes] = ()) -> list[AnyMetric]:
        """Return the CLIP-IQA that questions describe, then the named metrics, for which the model has defaults.

        Without questions, named metrics stand alone.

        Args:
            also: What metrics may take in place of an image.
        """
        if not self.metrics:
            return [self.questions.described_clipiqa(self.model)]
        from ...metrics.parsing import parse_metrics

        # weights are checked later, as this takes torch
        named = parse_metrics(self.metrics, also=also, trust_weights=True)
        self.questions.check_template()
        if self.questions.are_asked:
            return [self.questions.described_clipiqa(self.model), *named]
        self._check_model(named)
        return list(map(self._with_model, named))

    def _check_model(self, named: Sequence[AnyMetric]) -> None:
        """Raise ``OptionError`` for a model that no named metric takes."""
        options = self.model.chosen_options()
        if options and not any(map(is_clipiqa, named)):
            unused = ", ".join(f"`{name}`" for name in options)
            raise OptionError(
                f"only a CLIP-IQA takes {unused}, and no metric in `metrics` is one: add clipiqa, or leave out "
                f"{unused}.",
                options=(*options, "metrics"),
            )

    def _with_model(self, metric: AnyMetric) -> AnyMetric:
        """Return a metric with those options of the model that it does not state, if it is a CLIP-IQA."""
        from ...metrics.description import PyiqaDescription

        if isinstance(metric, PyiqaDescription) and metric.is_clipiqa:
            return replace(metric, options={**self.model.chosen_options(), **metric.options})
        return metric

    def labelled(self, also: Collection[Takes]) -> list[AnyMetric]:
        """Return :meth:`chosen` with a label on each metric; nothing if no option describes a metric."""
        is_described = bool(self.metrics) or self.questions != Questions() or self.model != Model()
        if not is_described:
            return []
        labelled: list[AnyMetric] = []
        for metric in self.chosen(also):
            labelled += self._labelled_parts(metric)
        return labelled

    def _labelled_parts(self, metric: AnyMetric) -> Sequence[AnyMetric]:
        """Return a CLIP-IQA without label as a metric for each of its questions; any other metric as it is."""
        from ....prompts.pairs import QuestionsByColumn
        from ...metrics.description import PyiqaDescription

        if metric.label or not isinstance(metric, PyiqaDescription):
            return [metric]
        if not isinstance(metric.questions, QuestionsByColumn):  # learned prompts, or the default question
            return [metric.with_label(Path(self.questions.learned_prompts or "quality").stem)]
        parts: list[AnyMetric] = []
        for name, pairs in metric.questions.items():
            options = {**metric.options, "prompts": list(pairs)}
            parts.append(replace(metric, label=name, options=options, questions=None))
        return parts


def is_clipiqa(metric: AnyMetric) -> bool:
    """Return whether a described metric is a CLIP-IQA."""
    from ...metrics.description import PyiqaDescription

    return isinstance(metric, PyiqaDescription) and metric.is_clipiqa
