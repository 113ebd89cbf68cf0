"""Groups of options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ....errors import OptionError
from ...options import Batches, Machine, Reading, Sizes, check_storage
from ..command_line import as_given
from .flags import CLIP, IMAGES, MACHINE, OPTIONS, QUESTIONS, RARE

if TYPE_CHECKING:
    from ...metrics.description import PyiqaDescription, Takes
    from ...metrics.kinds import AnyMetric


# options of public functions, too, in classes that do not know the command line
Parameter(name="*", group=MACHINE)(Machine)
Parameter(name="*", group=MACHINE)(Batches)
Parameter(name="*", group=IMAGES)(Sizes)
Parameter(name="*", group=IMAGES, negative_bool="no-")(Reading)
Prompts = Annotated[Sequence[str], Parameter(alias="-p", metavar="PROMPT", group=OPTIONS)]
Quiet = Annotated[bool, Parameter(alias="-q", group=RARE)]
OutFile = Annotated[Path | None, Parameter(alias="-o", metavar="FILE", group=OPTIONS)]
OutFolder = Annotated[Path | None, Parameter(alias="-o", metavar="DIR", group=OPTIONS)]


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class Settings:
    """Options in files.

    Args:
        config: a YAML file of options (such as max_side: 512), or a shipped file by name (fig1); the command line wins
    """

    config: Annotated[Sequence[str], Parameter(alias="-c", metavar="FILE", consume_multiple=False)] = ()


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

    prompts: Prompts = ()
    template: str | None = None
    learned_prompts: Annotated[str | None, Parameter(metavar="FILE|NAME")] = None

    @property
    def are_asked(self) -> bool:
        return bool(self.prompts or self.learned_prompts) or self.template is not None

    def check_template(self) -> None:
        """Raise ``OptionError`` for a template without pairs to word: beside named metrics, no pair is usual."""
        if self.template is not None and not self.prompts and self.learned_prompts is None:
            raise OptionError(
                "`{template}` words the pairs of `{prompts}`, and there are none: add `{prompts}`, or leave it out.",
                options=("template", "prompts"),
            )

    def asked(self, model: Model) -> PyiqaDescription:
        """Return the CLIP-IQA that the options describe, before it is built; it has a column for each question."""
        from ....prompts.parsing import parse_questions
        from ...metrics.description import PyiqaDescription

        name = self.learned_prompts
        options = model.chosen_options()
        if name is None:
            is_asked = self.prompts or self.template is not None
            questions = parse_questions(list(self.prompts) or None, self.template) if is_asked else None
            return PyiqaDescription("", "clipiqa", options=options, questions=questions)
        if self.prompts or self.template is not None:
            raise OptionError(
                "{learned_prompts} excludes `{prompts}` and `{template}`: leave them out.",
                options=("learned_prompts", "template", "prompts"),
            )
        if name.startswith("clipiqa+") and not os.path.exists(name):
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
        """
        if not self.metrics:
            return [self.questions.asked(self.model)]
        from ...metrics.parsing import parse_metrics

        # weights are checked later, as this takes torch
        named = parse_metrics(self.metrics, also=also, trust_weights=True)
        self.questions.check_template()
        if self.questions.are_asked:
            return [self.questions.asked(self.model), *named]
        return self._with_model(named)

    def _with_model(self, named: Sequence[AnyMetric]) -> list[AnyMetric]:
        """Return named metrics, each CLIP-IQA with the model's options. Raises ``OptionError`` if none takes these."""
        from ...metrics.description import PyiqaDescription

        defaults = self.model.chosen_options()
        metrics: list[AnyMetric] = []
        for metric in named:
            if isinstance(metric, PyiqaDescription) and metric.is_clipiqa:
                metric = replace(metric, options={**defaults, **metric.options})
            metrics.append(metric)
        if defaults and not any(map(is_clipiqa, metrics)):
            unused = ", ".join(f"`{{{name}}}`" for name in defaults)
            raise OptionError(
                f"only a CLIP-IQA takes {unused}, and no metric in `{{metrics}}` is one: add clipiqa, or leave out "
                f"{unused}.",
                options=(*defaults, "metrics"),
            )
        return metrics

    def labelled(self, also: Collection[Takes]) -> list[AnyMetric]:
        """Return :meth:`chosen` with a metric for each question; nothing if no metric is described."""
        from ....prompts.pairs import QuestionsByColumn
        from ...metrics.description import PyiqaDescription

        is_described = self.metrics or self.questions.are_asked or self.model.chosen_options()
        labelled: list[AnyMetric] = []
        if not is_described:
            return labelled
        for metric in self.chosen(also):
            if metric.label or not isinstance(metric, PyiqaDescription):
                labelled.append(metric)
            elif not isinstance(metric.questions, QuestionsByColumn):
                labelled.append(metric.with_label(Path(self.questions.learned_prompts or "quality").stem))
            else:
                for name, pairs in metric.questions.items():
                    options = {**metric.options, "prompts": list(pairs)}
                    labelled.append(replace(metric, label=name, options=options, questions=None))
        return labelled


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class Strictness:
    """Metrics that cannot be built.

    Args:
        strict: stop before the first image if a metric cannot be built; default: score by the others
    """

    strict: bool = False


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class OutputOptions:
    """Results.

    Args:
        out: folder for results; default: only print them
        resume: keep the scores in --out, and compute those that are missing
        overwrite: replace what is in --out
        quiet: show no progress bar and no summary
    """

    out: OutFolder = None
    resume: bool = False
    overwrite: bool = False
    quiet: Quiet = False

    def storage(self) -> dict[str, Any]:
        check_storage(self.out, self.resume, self.overwrite)
        return {"out": self.out, "resume": self.resume, "overwrite": self.overwrite}


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class ScoreFile(OutputOptions):
    """Results.

    Args:
        out: file of scores (csv, jsonl, parquet), or folder for --engine ray; default: only print a table
        resume: keep the scores in --out, and compute those that are missing
        overwrite: replace what is in --out
        quiet: show no progress bar and no summary
    """

    out: OutFile = None


@Parameter(name="*")
@dataclass(frozen=True)
class Scoring:
    """How images are read, and scored in batches."""

    reading: Reading = Reading()
    batches: Batches = Batches()

    def keywords(self) -> dict[str, Any]:
        """Return the options as functions take them, without ``device``."""
        return {**vars(self.reading), **batch_keywords(self.batches)}


def is_clipiqa(metric: AnyMetric) -> bool:
    """Return whether a described metric is a CLIP-IQA."""
    from ...metrics.description import PyiqaDescription

    return isinstance(metric, PyiqaDescription) and metric.is_clipiqa


def batch_keywords(batches: Batches) -> dict[str, int | None]:
    """Return those options of batches that functions take one by one; the others hold for the whole process."""
    return {"batch_size": batches.batch_size, "workers": batches.workers, "processes": batches.processes}


def stated(options: Any) -> dict[str, Any]:
    """Return those options of a group that are not None."""
    return {name: value for name, value in vars(options).items() if value is not None}
