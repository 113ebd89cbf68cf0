"""Options, progress bar and printed table of the experiments' commands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors.arguments import Images
from . import model
from .model import Kept, Model, Questions, Wording
from .progress import Bar, note, tell
from .signals import on_interrupt
from .tables import aligned

if TYPE_CHECKING:
    import pandas

    from ...experiments.experiment import ExperimentResult

Result = TypeVar("Result", bound="ExperimentResult")


@dataclass(frozen=True)
class Run(Kept, Images, Model, Wording):
    """Pictures.

    Args:
        pictures (KIND): png, svg or pdf; sheets of photos are always png
    """

    pictures: str = "png"

    def result(self, experiment: Callable[..., Result], *inputs: Any, **options: Any) -> Result:
        self.check()
        device = model.start(self, self.backbone or "RN50")
        hint = contextlib.nullcontext() if self.out is None else on_interrupt("--resume continues from here")
        with hint, Bar() as bar:
            return experiment(
                lambda: model.build_metric(self, device),
                *inputs,
                template=self.template,
                pictures=self.pictures,
                progress=partial(bar.show, ""),
                device=device,
                **self.storage(),
                **self.keywords(),
                **options,
            )

    def report(self, experiment: Callable[..., ExperimentResult], *inputs: Any, **options: Any) -> int:
        """Run an experiment, print the summary, and return the exit code."""
        result = self.result(experiment, *inputs, **options)
        print(frame_as_text(result.summary(), result.intervals))
        for reason in result.failed.values():
            tell(f"left out: {reason}")
        self.conclude(result)
        return 1 if result.failed else 0

    def conclude(self, result: ExperimentResult) -> None:
        if self.out is not None:
            note(f"results are in {self.out}")
        for remark in result.notes():
            tell(remark)


@dataclass(frozen=True)
class AskingRun(Run, Questions):
    """Options of experiments with questions."""


def frame_as_text(frame: pandas.DataFrame, intervals: Mapping[str, tuple[str, str]]) -> str:
    """Return a data frame as text, with intervals in brackets."""

    def text(value: Any) -> str:
        if not isinstance(value, float):
            return str(value)
        if value != value:
            return "–"
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"

    frame = frame.copy()
    for name, (low, high) in intervals.items():
        ranges = zip(frame[name], frame.pop(low), frame.pop(high), strict=True)
        frame[name] = [f"{text(value)} [{text(least)}, {text(most)}]" for value, least, most in ranges]
    cells = [list(frame.columns), *(list(map(text, row)) for row in frame.itertuples(index=False))]
    are_words = [all(isinstance(value, str) for value in frame.iloc[:, place]) for place in range(frame.shape[1])]
    return "\n".join(aligned(cells, are_words))
