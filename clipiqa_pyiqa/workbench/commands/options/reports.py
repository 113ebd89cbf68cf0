"""Options of commands that make a report, and the report itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ...options import Batches, Sizes
from .flags import RARE
from .groups import MetricOptions, OutputOptions, Scoring, Strictness, TableOptions, batch_keywords
from .messages import note, tell
from .running import check_inputs, running

if TYPE_CHECKING:
    from ...experiments.experiment_result import ExperimentResult


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

    def run_and_print(self, function: str, **options: Any) -> int:
        """Call a function of the package that compares, save and print its tables, and return the exit code."""
        look = self.tables.look()
        options |= {"trust_weights": self.metrics.trust_weights, "strict": self.strictness.strict}
        options |= {**vars(self.sizes), **batch_keywords(self.batches)}
        out = self.output.out
        with running(self.batches, self.output, function, **options) as comparison:
            # saved before the table is printed: a program that reads the table may end early
            report = comparison.save(out, **look) if out else comparison.report(**look)
            text = (
                comparison.describe(self.tables.format) if options.get("describe") else report.text(self.tables.format)
            )
            print(text, end="")
            if self.tables.format == "csv":  # which has no place for sentences
                for line in (*report.sentences, *report.metric_lines):
                    note(line)
        # a table may have published numbers beside it
        is_good = comparison.is_complete and getattr(comparison, "is_as_expected", True)
        return 0 if is_good and not report.unknown else 1


@Parameter(name="*")
@dataclass(frozen=True)
class Experiment:
    """Options of commands that repeat the paper's experiments.

    Args:
        pictures: png, svg or pdf; sheets of photos are always png
    """

    metrics: MetricOptions = MetricOptions()
    output: OutputOptions = OutputOptions()
    scoring: Scoring = Scoring()
    pictures: Annotated[str, Parameter(metavar="KIND", group=RARE)] = "png"

    def run(self, experiment: str, *inputs: Any, **options: Any) -> Any:
        """Call a function of the package that makes an experiment, and return its result."""
        questions = self.metrics.questions
        template = questions.template
        if not questions.prompts:  # a template alone words the questions of the experiment
            questions = replace(questions, template=None)
        metrics = replace(self.metrics, questions=questions).chosen()
        check_inputs(*inputs)
        options |= {"template": template, "pictures": self.pictures, "trust_weights": self.metrics.trust_weights}
        options |= self.scoring.keywords()
        with running(self.scoring.batches, self.output, experiment, metrics, *inputs, **options) as result:
            return result

    def run_and_print(self, experiment: str, *inputs: Any, **options: Any) -> int:
        """Run an experiment, print its tables and what they lack, and return the exit code."""
        result = self.run(experiment, *inputs, **options)
        print(result.report().text(), end="")
        tell_lacks(result)
        return 0 if result.is_complete else 1


def tell_lacks(result: ExperimentResult) -> None:
    """Tell which images an experiment left out, and why."""
    tell(*(f"left out: {reason}" for reason in result.failed.values()), *result.notes())
