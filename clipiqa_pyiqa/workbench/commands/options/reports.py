"""Options of commands that make a report, and the report itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ....errors import OptionError
from ....text import hint_for
from ...options import Batches, Sizes
from .flags import OPTIONS, RARE
from .groups import OutputOptions, Scoring, Strictness, batch_keywords
from .invocation import invocation
from .messages import note, tell
from .metric_options import MetricOptions, is_clipiqa
from .running import check_inputs, running

if TYPE_CHECKING:
    from ...experiments.experiment_result import ExperimentResult


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class TableOptions:
    """Tables, as printed and in --out.

    Args:
        format: format of the printed table
        label: text to show in place of a metric's, method's, data set's or column's name
        show: columns to show, in this order
        caption: caption of the first table in LaTeX, written in LaTeX
        latex_label: \\label of the first table in LaTeX
    """

    format: Literal["table", "csv", "markdown", "latex"] = "table"
    label: Annotated[Sequence[str], Parameter(metavar="NAME=TEXT")] = ()
    show: Annotated[Sequence[str], Parameter(metavar="COLUMN")] = ()
    caption: str = ""
    latex_label: Annotated[str, Parameter(metavar="KEY", group=RARE)] = ""

    def look(self) -> dict[str, Any]:
        """Return how a report is to look, as :class:`~clipiqa_pyiqa.workbench.report.report.Report` takes it."""
        return {
            "labels": self._labels(),
            "show": self.show,
            "caption": self.caption,
            "key": self.latex_label,
            "invocation": invocation(),
        }

    def check_names(self, names: Collection[str]) -> None:
        """Raise ``OptionError`` for a label or a column to show whose name no table can have."""
        for option, named in {"label": self._labels(), "show": self.show}.items():
            for name in named:
                if name not in names:
                    raise OptionError(
                        f"`{option}` names {name!r}, which no table has: {hint_for(name, names)}", options=(option,)
                    )

    def _labels(self) -> dict[str, str]:
        labels = dict[str, str]()
        for text in self.label:
            name, equals, label = text.rpartition("=")  # names such as clipiqa:backbone=mini
            if not equals:
                raise OptionError(f"`label` must be NAME=TEXT; got {text!r}.", options=("label",))
            if name in labels:
                raise OptionError(f"`label` names {name!r} twice: leave one out.", options=("label",))
            labels[name] = label
        return labels


@Parameter(name="*")
@dataclass(frozen=True)
class Comparing:
    """Options of commands that compare."""

    metrics: MetricOptions = MetricOptions()
    output: OutputOptions = OutputOptions()
    tables: TableOptions = TableOptions()
    sizes: Sizes = Sizes()
    batches: Batches = Batches()
    strictness: Strictness = Strictness()

    @property
    def can_check_names(self) -> bool:
        """Whether names of tables are given that can be checked before the run; earlier results have further names."""
        return bool(self.tables.label or self.tables.show) and not self.output.resume

    def run_and_print(self, function: str, **options: Any) -> int:
        """Call a function of the package that compares, save and print its tables, and return the exit code."""
        look = self.tables.look()
        options |= {"trust_weights": self.metrics.trust_weights, "strict": self.strictness.strict}
        options |= {**vars(self.sizes), **batch_keywords(self.batches)}
        out = self.output.out
        with running(self.batches, self.output, function, **options) as comparison:
            # saved before the table is printed: a program that reads the table may end early
            if out:
                report = comparison.save(out, **look)
            else:
                report = comparison.report(**look)
                report.log_unknown_names()
            is_described = options.get("describe", False)
            shown = comparison.describe if is_described else report.text
            print(shown(self.tables.format), end="")
            if self.tables.format == "csv" and not is_described:  # a table in CSV has no place for sentences
                for line in (*report.sentences, *report.metric_lines):
                    note(line)
        is_good = comparison.is_complete and comparison.is_as_expected and not report.unknown
        return 0 if is_good else 1


@Parameter(name="*")
@dataclass(frozen=True)
class Experiment:
    """Options of commands that repeat the paper's experiments.

    Args:
        pictures: format of pictures; sheets of photos are always png
    """

    metrics: MetricOptions = MetricOptions()
    output: OutputOptions = OutputOptions()
    scoring: Scoring = Scoring()
    pictures: Annotated[Literal["png", "svg", "pdf"], Parameter(group=RARE)] = "png"

    def run(self, experiment: str, *inputs: Any, **options: Any) -> Any:
        """Call a function of the package that makes an experiment, and return its result."""
        questions = self.metrics.questions
        template = questions.template
        if not questions.prompts:  # a template alone words the questions of the experiment
            questions = replace(questions, template=None)
        metrics = replace(self.metrics, questions=questions).chosen()
        if template is not None and not any(map(is_clipiqa, metrics)):
            raise OptionError(
                "`template` words the prompts of a CLIP-IQA, and no metric in `metrics` is one: leave it out.",
                options=("template", "metrics"),
            )
        check_inputs(*inputs)
        options |= {"template": template, "pictures": self.pictures, "trust_weights": self.metrics.trust_weights}
        options |= self.scoring.keywords()
        with running(self.scoring.batches, self.output, experiment, metrics, *inputs, **options) as result:
            return result

    def run_and_print(self, experiment: str, *inputs: Any, **options: Any) -> int:
        """Run an experiment, print its tables and what they lack, and return the exit code."""
        result = self.run(experiment, *inputs, **options)
        print(result.report().text(), end="")
        tell(*lacks_of(result))
        return 0 if result.is_complete else 1


def lacks_of(result: ExperimentResult) -> list[str]:
    """Return which images an experiment left out, and why, in sentences."""
    return [*(f"left out: {reason}" for reason in result.failed.values()), *result.notes()]
