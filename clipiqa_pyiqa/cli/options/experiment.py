"""Options, progress bar and printed table of the experiments' commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors.arguments import Images
from . import model
from .model import Model, OutputOptions, Questions, Wording
from .terminal import Bar, frame_as_text, stored, tell

if TYPE_CHECKING:
    from ...experiments.experiment import ExperimentResult

Result = TypeVar("Result", bound="ExperimentResult")


@dataclass(frozen=True)
class Run(OutputOptions, Images, Model, Wording):
    """Pictures.

    Args:
        pictures (KIND): png, svg or pdf; sheets of photos are always png
    """

    pictures: str = "png"

    def result(self, experiment: Callable[..., Result], *inputs: Any, **options: Any) -> Result:
        device = model.start(self)
        with stored(self.out), Bar() as bar:
            return experiment(
                lambda: model.build_metric(self, device),
                *inputs,
                template=self.template,
                pictures=self.pictures,
                progress=bar.show,
                device=device,
                **self.storage(),
                **self.keywords(),
                **options,
            )

    def report(self, experiment: Callable[..., ExperimentResult], *inputs: Any, **options: Any) -> int:
        result = self.result(experiment, *inputs, **options)
        print(frame_as_text(result.summary(), result.intervals))
        return self.conclude(result)

    def conclude(self, result: ExperimentResult) -> int:
        tell(*(f"left out: {reason}" for reason in result.failed.values()), *result.notes())
        return 1 if result.failed else 0


@dataclass(frozen=True)
class AskingRun(Run, Questions):
    """Options of the experiments that ask questions."""
