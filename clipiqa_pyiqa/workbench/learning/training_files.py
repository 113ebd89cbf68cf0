"""The files of a training run, from which it is resumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

from ...errors import CLIPIQAError
from ...files import write_bytes, write_text
from ...prompts.files import pickled, save_prompt_file
from ...training import EpochResult, PromptTraining
from ...weights.checkpoint import load_pickled
from .correlations import Correlations

BEST, LAST, STATE, LOG = "best.safetensors", "last.safetensors", "state.pt", "log.csv"
FILES = (STATE, LAST, BEST, LOG)


def remove_earlier_run(folder: Path, overwrite: bool) -> None:
    """Remove the files of an earlier run; raise CLIPIQAError if there are any and they may not be replaced."""
    for name in FILES:
        file = folder / name
        if file.exists() and not overwrite:
            raise CLIPIQAError(
                f"{str(file)!r} exists already: set `resume` to continue its run, or `overwrite`.",
                options=("overwrite", "resume"),
            )
        file.unlink(missing_ok=True)


@dataclass
class TrainingProgress:
    """The best epoch's correlations with the validation scores, and a row of the log for each epoch."""

    best: Correlations = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def is_best(self, reached: Correlations) -> bool:
        """Return whether an epoch's SROCC is higher than that of all epochs so far; at the same SROCC, its PLCC."""
        best_srocc = self.best.get("srocc", math.nan)
        if math.isnan(best_srocc):
            return True
        return (reached["srocc"], reached["plcc"]) > (best_srocc, self.best["plcc"])

    def add(self, epoch: EpochResult, reached: Correlations) -> None:
        """Note an epoch."""
        if self.is_best(reached):
            self.best = reached
        self.history.append({"epoch": epoch.number, "loss": epoch.loss, **reached})


@dataclass(frozen=True)
class TrainingFiles:
    """The files of a run.

    Attributes:
        identity: A run with another one cannot be resumed.
        recipe: Fields of the run's recipe.
        metadata: Metadata of the files of prompts.
    """

    folder: Path
    identity: str
    recipe: Mapping[str, Any]
    metadata: Mapping[str, Any]

    def restore(self, training: PromptTraining) -> TrainingProgress:
        """Bring a training to where an earlier run stopped, if there was one; return how far that came."""
        path = self.folder / STATE
        if not path.is_file():
            return TrainingProgress()
        state = load_pickled(path)
        if not isinstance(state, dict) or state.get("run") != self.identity:
            raise CLIPIQAError(
                f"{path} was left by another run{self._differences(state)}: use the images, scores, weights, recipe, "
                "epochs and seed of that run, or choose another folder."
            )
        try:
            training.restore(state, len(state["log"]))
        except ValueError as error:
            raise CLIPIQAError(f"{path} is damaged: begin the training again in another folder.") from error
        return TrainingProgress(state["best"], state["log"])

    def _differences(self, state: Any) -> str:
        """Return which fields of the recipe another run had, as far as its state tells."""
        earlier = state.get("recipe") if isinstance(state, dict) else None
        if not isinstance(earlier, dict):
            return ""
        differences = [
            f"{name} was {earlier[name]}, now {now}"
            for name, now in self.recipe.items()
            if name in earlier and earlier[name] != now
        ]
        return f" ({'; '.join(differences)})" if differences else ""

    def save(self, training: PromptTraining, progress: TrainingProgress, is_best: bool) -> None:
        """Write the prompts, the log and, last, the state, so that it never runs ahead of them."""
        epoch = progress.history[-1]
        reached = {name: epoch[name] for name in epoch if name not in ("epoch", "loss")}
        metadata = {**self.metadata, "epoch": epoch["epoch"], "scores": reached}
        save_prompt_file(training.learner, self.folder / LAST, metadata)
        if is_best:
            save_prompt_file(training.learner, self.folder / BEST, metadata)
        rows = pandas.DataFrame(progress.history)
        write_text(self.folder / LOG, rows.to_csv(index=False, na_rep="nan", lineterminator="\n"))
        state = {
            "run": self.identity,
            "recipe": dict(self.recipe),
            "best": progress.best,
            "log": progress.history,
            **training.state(),
        }
        write_bytes(self.folder / STATE, pickled(state))
