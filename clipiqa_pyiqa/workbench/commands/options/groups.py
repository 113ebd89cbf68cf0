"""Groups of options that several commands share, and the start of PyTorch."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ....errors import ImageError, OptionError
from ...options import Batches, Machine, SharedOptions, Sizes, check_storage
from .terminal import invocation, note, progress, stored, tell

if TYPE_CHECKING:
    import torch

    from ...experiments.experiment_result import ExperimentResult
    from ...metrics.kinds import Metric
    from ...opinions.score_table import ScoreTable

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # a container's limit: CPU time per period, and the period, in microseconds


def stated(options: Any, kind: Any) -> dict[str, Any]:
    """Return those options of a group that are not None."""
    return {name: value for name in kind.__dataclass_fields__ if (value := getattr(options, name)) is not None}


@dataclass(frozen=True)
class Model:
    """Which CLIP.

    Args:
        backbone (-b): RN50, mini (bundled), … (see `clipiqa weights`); default: that of learned prompts, else RN50
        clip_weights (FILE|TAG): a checkpoint file, or an open_clip tag; default: OpenAI's weights
        pos_embedding (MODE): positional embedding: none (default), interpolate, or fixed (resize and crop to 224 px)
        precision (KIND): number format: fp32 (default), bf16 or fp16
        quick_gelu: whether an unpublished checkpoint uses QuickGELU; default: yes
    """

    backbone: str | None = None
    clip_weights: str | None = None
    pos_embedding: str | None = None
    precision: str | None = None
    quick_gelu: bool | None = None

    def given(self) -> dict[str, Any]:
        return stated(self, Model)


@dataclass(frozen=True)
class Questions:
    """Questions.

    Args:
        prompts (-p PROMPT): named pairs (see `clipiqa prompts`), presets, or 'positive|negative'; default: quality
        template (TEXT): wording of the pairs, such as 'A photo of {}.'
        learned_prompts (FILE|NAME): a file that `clipiqa train` or `clipiqa fit` wrote, or a published name: clipiqa+,
            clipiqa+_rn50_512, clipiqa+_vitL14_512
    """

    prompts: Sequence[str] = ()
    template: str | None = None
    learned_prompts: str | None = None

    def asked(self, model: Model) -> Metric:
        """Return the CLIP-IQA that the options describe, before it is built; it has a column for each question."""
        from ....prompts.pairs import parse_columns
        from ...metrics.kinds import Metric

        name = self.learned_prompts
        options = model.given()
        if name is None:
            is_asked = self.prompts or self.template
            questions = parse_columns(list(self.prompts) or None, self.template) if is_asked else None
            return Metric("", "clipiqa", options, questions=questions)
        if self.prompts or self.template:
            raise OptionError("learned_prompts excludes `prompts` and `template`: leave them out.")
        if name.startswith("clipiqa+") and not os.path.exists(name):
            return Metric("", name, options)
        return Metric("", "clipiqa+", {**options, "pretrained_model_path": name})


@dataclass(frozen=True)
class Metrics(Model, Questions):
    """Metrics.

    Args:
        metrics (-m METRIC): metrics: [LABEL=]NAME|FILE[:KEY=VALUE,…]; a FILE holds scores, learned prompts or a head
        trust_weights: load files and URLs that could run code
    """

    metrics: list[str] | None = None
    trust_weights: bool = False

    def chosen(self, also: Collection[str] = ()) -> list[Metric]:
        """Return the CLIP-IQA that questions describe, then the named metrics, for which the model has defaults.

        Without questions, named metrics stand alone.
        """
        if not self.metrics:
            return [self.asked(self)]
        from ...metrics.parsing import parse_metrics

        # weights are checked later, as this takes torch
        named = parse_metrics(self.metrics, also=also, trust_weights=True)
        if self.prompts or self.template or self.learned_prompts:
            return [self.asked(self), *named]
        return [replace(m, options={**self.given(), **m.options}) if m.is_clipiqa else m for m in named]

    def labelled(self, also: Collection[str]) -> list[Metric]:
        """Return :meth:`chosen` with a metric for each question; nothing if no metric is described."""
        from ...results.columns import Column

        is_described = self.metrics or self.prompts or self.template or self.learned_prompts or self.given()
        found: list[Metric] = []
        if not is_described:
            return found
        for metric in self.chosen(also):
            one = metric.label or Path(self.learned_prompts or "quality").stem
            questions = {one: ()} if metric.label or not metric.questions else metric.questions
            for name, pairs in questions.items():
                options = {**metric.options, "prompts": list(pairs)} if pairs else metric.options
                columns = metric.columns or (Column(name),)
                found.append(replace(metric, label=name, options=options, questions=None, columns=columns))
        return found


@dataclass(frozen=True)
class Asked(Metrics):
    """Metrics that cannot be built.

    Args:
        strict: stop before the first image; default: score by the others
    """

    strict: bool = False

    def building(self) -> dict[str, Any]:
        return {"trust_weights": self.trust_weights, "strict": self.strict}


@dataclass(frozen=True)
class Look:
    """Tables, as printed and in --out.

    Args:
        format: format of the printed table
        label (NAME=TEXT): texts to show in place of names of metrics, methods, data sets or columns
        show (COLUMN): columns to show, in this order
        caption (TEXT): caption of the first table in LaTeX
        latex_label (KEY): \\label of the first table in LaTeX
    """

    format: Literal["table", "csv", "markdown", "latex"] = "table"
    label: Sequence[str] = ()
    show: Sequence[str] = ()
    caption: str = ""
    latex_label: str = ""

    def look(self) -> dict[str, Any]:
        if unclear := [text for text in self.label if "=" not in text]:
            raise OptionError(f"`label` must be NAME=TEXT; got {unclear[0]!r}.")
        labels = dict(text.rsplit("=", 1) for text in self.label)  # names such as clipiqa:backbone=mini
        return {
            "labels": labels,
            "show": self.show,
            "caption": self.caption,
            "key": self.latex_label,
            "invocation": invocation(),
        }


@dataclass(frozen=True)
class OutputOptions:
    """Results.

    Args:
        out (-o FILE|DIR): folder for results (or a file, for `clipiqa score`); default: only print a table
        resume: continue with the scores in --out
        overwrite: replace what is in --out
        quiet (-q): show no progress bar and no summary
    """

    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False

    def storage(self) -> dict[str, Any]:
        check_storage(self.out, self.resume, self.overwrite)
        return {"out": self.out, "resume": self.resume, "overwrite": self.overwrite}


def start(machine: Machine) -> torch.device:
    if "torch" not in sys.modules:  # the import takes seconds
        note("loading PyTorch …")
        gc.disable()  # what the import makes stays: to look for garbage in it takes a quarter of a command's start
        import_module("torch")
        gc.freeze()
        gc.enable()
    import torch
    from PIL import Image

    from ....metric import find_device
    from ...images.memory import keep_memory, limit_memory, parse_size

    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        with contextlib.suppress(OSError, ValueError):  # without a quota, the file is missing or holds 'max'
            quota, period = map(int, _QUOTA.read_text().split())
            torch.set_num_threads(min(max(1, quota // period), torch.get_num_threads()))
    keep_memory()
    limit_memory(None if machine.memory is None else parse_size(machine.memory))
    warnings.filterwarnings("ignore", "Glyph .* missing from")  # a picture shows a box for a letter without a glyph
    # damage becomes an error; odd metadata do not matter, and 89 to 179 megapixels are usual
    warnings.filterwarnings("ignore", module="PIL")
    if machine.huge:
        Image.MAX_IMAGE_PIXELS = None
    return find_device(machine.device)


def check_inputs(*inputs: Any) -> None:
    """Raise if paths name nothing, before PyTorch is loaded."""
    from ...sources.finding import each_of, find_shards

    paths = (path for given in inputs for path in each_of(given))
    found = find_shards(path for path in paths if path != "-" and not os.path.lexists(path))
    if found.problems and found.is_empty:
        raise ImageError(f"{found.problem}.")


@contextlib.contextmanager
def running(options: Any, function: str, *inputs: Any, **more: Any) -> Iterator[Any]:
    """Yield what a function of the package returns; if it is interrupted, say how to continue."""
    device = start(options)
    with stored(options.out), progress() as show:
        yield getattr(import_module("clipiqa_pyiqa"), function)(
            *inputs,
            progress=show,
            device=device,
            trust_weights=options.trust_weights,
            **options.storage(),
            **options.keywords(),
            **more,
        )


@dataclass(frozen=True)
class Comparing(Look, OutputOptions, Sizes, Batches, Asked):
    """Options of commands that compare."""

    def report(self, function: str, **options: Any) -> int:
        look = self.look()
        with running(self, function, strict=self.strict, **options) as found:
            # saved before the table is printed: a program that reads the table may end early
            report = found.save(self.out, **look) if self.out else found.report(**look)
            print(found.describe(self.format) if options.get("describe") else report.text(self.format), end="")
            if self.format == "csv":  # which has no place for sentences
                for line in (*report.sentences, *report.metric_lines):
                    note(line)
        is_good = found.complete and getattr(found, "agrees", True)  # a table may have published numbers beside it
        return 0 if is_good and not report.unknown else 1


@dataclass(frozen=True)
class Experiment(OutputOptions, SharedOptions, Metrics):
    """Pictures.

    Args:
        pictures (KIND): png, svg or pdf; sheets of photos are always png
    """

    pictures: str = "png"

    def result(self, experiment: str, *inputs: Any, **options: Any) -> Any:
        # a template alone words the questions of the experiment
        metrics = (self if self.prompts else replace(self, template=None)).chosen()
        check_inputs(*inputs)
        options |= {"template": self.template, "pictures": self.pictures}
        with running(self, experiment, metrics, *inputs, **options) as result:
            return result

    def report(self, experiment: str, *inputs: Any, **options: Any) -> int:
        result = self.result(experiment, *inputs, **options)
        print(result.report().text(), end="")
        return self.conclude(result)

    def conclude(self, result: ExperimentResult) -> int:
        tell(*(f"left out: {reason}" for reason in result.failed.values()), *result.notes())
        return 0 if result.is_complete else 1


@dataclass(frozen=True)
class OpinionOptions:
    """Scores.

    Args:
        root (DIR): folder of the images; default: the CSV file's folder
        data_root (DIR): folder of pyiqa's data sets
        columns: the columns of paths and scores, and perhaps of splits
        score_range (LOW HIGH): lowest and highest possible score
        lower_better: low scores are good; --no-lower-better: high scores are good, though the column is called dmos
        val_fraction: share of images to hold out if there is no split column; default: 0.2
        skip_missing: leave out missing images
        group (COLUMN): column of groups that splits and folds keep together; default: a column of references
    """

    root: str | None = None
    data_root: str = "datasets"
    columns: list[str] | None = None
    score_range: Sequence[float] | None = None
    lower_better: bool | None = None
    val_fraction: float | None = None
    skip_missing: bool = False
    group: str | None = None

    def table(self, scores: str, seed: int, **more: Any) -> ScoreTable:
        from ...opinions.score_table import find_score_table

        if len(self.columns or ()) > 3:
            raise OptionError(f"--columns takes up to three columns; got {', '.join(self.columns or ())}.")
        given = {**more, **stated(self, OpinionOptions)}
        if self.columns:
            given["columns"] = (*self.columns, None, None)[:3]
        return find_score_table(scores, **given, seed=seed)


@dataclass(frozen=True)
class Store(Machine):
    """Features.

    Args:
        features (DIR): folder of the feature store; default: ~/.cache/clipiqa/features
        quiet (-q): show no progress
    """

    features: str | None = None
    quiet: bool = False

    def start(self) -> dict[str, Any]:
        """Load PyTorch; return the options of functions that learn."""
        return {"device": start(self), "features": self.features, "workers": self.workers}


@dataclass(frozen=True)
class Learning(Store, Model, OpinionOptions):
    """Options of commands that learn from people's scores."""


def creation(name: str, **options: Any) -> str:
    arguments = [f"{key}={value!r}" for key, value in options.items()]
    return f"pyiqa.create_metric({', '.join([repr(name), *arguments])})"
