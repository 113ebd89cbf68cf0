"""What the commands for the paper's experiments share: their options, a bar of progress, and the printed table."""

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
        pictures (KIND): png, svg or pdf; sheets of photos are no svg
    """

    pictures: str = "png"

    def made(self, experiment: Callable[..., Result], *inputs: Any, **options: Any) -> Result:
        """Run an experiment as the shared options say; ``inputs`` follow the metric, ``options`` are its own."""
        self.check()
        device = model.start(self, self.backbone or "RN50")
        resumed = contextlib.nullcontext() if self.out is None else on_interrupt("--resume goes on from here")
        with resumed, Bar() as bar:
            return experiment(
                lambda: model.build_metric(self, self.template, None, device),
                *inputs,
                template=self.template,
                out=self.out,
                resume=self.resume,
                overwrite=self.overwrite,
                pictures=self.pictures,
                progress=partial(bar.show, ""),
                device=device,
                **self.keywords(),
                **options,
            )

    def report(self, experiment: Callable[..., ExperimentResult], *inputs: Any, **options: Any) -> int:
        """Run an experiment and print its summary; returns the exit code."""
        found = self.made(experiment, *inputs, **options)
        print(frame_as_text(found.summary(), found.intervals))
        return self.told(found)

    def told(self, found: ExperimentResult) -> int:
        """Say what was left out and where results are; returns the exit code."""
        for reason in found.failed.values():
            tell(f"left out: {reason}")
        if self.out is not None:
            note(f"results are in {self.out}")
        for words in found.notes():
            tell(words)
        return 1 if found.failed else 0


@dataclass(frozen=True)
class AskingRun(Run, Questions):
    """Options of an experiment that asks what one likes."""


def frame_as_text(frame: pandas.DataFrame, intervals: Mapping[str, tuple[str, str]]) -> str:
    """Return a frame for people: four digits, but small numbers as they are; a dash for none; intervals in brackets."""
    from ...files.names import one_line

    def text(value: Any) -> str:
        if not isinstance(value, float):
            return one_line(str(value))  # a line break in a file's name must not break the table
        if value != value:
            return "–"
        return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"

    frame = frame.copy()
    for name, (low, high) in intervals.items():
        ranges = zip(frame[name], frame.pop(low), frame.pop(high), strict=True)
        frame[name] = [f"{text(value)} [{text(least)}, {text(most)}]" for value, least, most in ranges]
    cells = [list(map(text, frame.columns)), *([text(value) for value in row] for row in frame.itertuples(index=False))]
    words = [all(isinstance(value, str) for value in frame.iloc[:, place]) for place in range(frame.shape[1])]
    return "\n".join(aligned(cells, words))
