"""The kinds of metrics after building: on CLIP, of pyiqa, an object, scores in a file, and a broken one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from ...prompts.pairs import QuestionsByColumn
from ..files.specifications import Settings
from ..files.streams import output_as_messages
from ..results.columns import Column, Record
from .description import Description, PyiqaDescription, Takes
from .view import UNCHANGED, View

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ...tower_metric import TowerMetric


@dataclass(frozen=True)
class ImageMetric:
    """A metric that scores images or sets of images; or a broken one, which would."""

    description: Description
    columns: tuple[Column, ...]

    @property
    def label(self) -> str:
        return self.description.label

    @property
    def takes(self) -> Takes:
        return self.description.takes

    @property
    def needs_reference(self) -> bool:
        return self.description.needs_reference

    def with_label(self, label: str) -> Self:
        columns = tuple(replace(column, name=label) for column in self.columns)
        return replace(self, description=self.description.with_label(label), columns=columns)

    def with_view(self, view: View) -> Self:
        return replace(self, description=self.description.with_view(view))

    def with_fields(self, fields: Record) -> Self:
        """Return the metric with these fields in the records of its columns."""
        return replace(self, columns=columns_with_fields(self.columns, fields))

    def build(self, device: torch.device, seed: int = 0, strict: bool = False) -> Self:
        """Return this metric, which is built already."""
        return self.with_view_recorded(device)

    def with_view_recorded(self, device: torch.device) -> Self:
        """Return this metric, whose records tell its view."""
        view = self.description.view
        if view == UNCHANGED or self.takes is Takes.FOLDERS:
            return self
        return self.with_fields(view.record(device.type == "cuda"))


@dataclass(frozen=True)
class ClipMetric(ImageMetric):
    """A metric of this package on CLIP.

    Attributes:
        questions: What it is asked; None: its own questions.
    """

    net: TowerMetric
    questions: QuestionsByColumn | None

    @property
    def encoding(self) -> Any:
        """What the features of an image depend on; metrics of equal encodings share them."""
        return getattr(self.net, "encoding", id(self.net))

    @property
    def backbone(self) -> str:
        return self.net.clip.weights.backbone

    def only(self, questions: Collection[str]) -> Self:
        """Return the metric asked only some of its questions."""
        assert self.questions is not None
        chosen = QuestionsByColumn({name: pairs for name, pairs in self.questions.items() if name in questions})
        columns = tuple(column for column in self.columns if column.name in questions)
        return replace(self, questions=chosen, columns=columns)

    def score_features(self, features: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(N, P)`` of image features."""
        scores: torch.Tensor = self.net.score(features, self.questions)
        return scores

    def score(self, images: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(N, P)`` of images ``(N, 3, H, W)`` in [0, 1]."""
        with self.description.view.precision_of(images):
            return self.score_features(self.net.encode_image(self.description.view(images)))


@dataclass(frozen=True)
class _FunctionMetric(ImageMetric):
    """A metric that a function computes.

    Attributes:
        function: Function of images ``(N, 3, H, W)`` in [0, 1] and perhaps of references, or of two folders.
    """

    function: Any

    def score(self, *images: torch.Tensor) -> Any:
        """Return what the function returns for images, and perhaps references."""
        view = self.description.view
        if view == UNCHANGED:
            return self.function(*images)
        with view.precision_of(images[0]):
            return self.function(*map(view, images))

    def score_folders(self, folders: Sequence[str]) -> np.float64:
        """Return the score of the images in the first folder, perhaps compared with those in the second."""
        import numpy as np

        if not self.needs_reference:
            folders = folders[:1]
        with output_as_messages():
            score = self._returned_for(folders)
        if isinstance(score, Mapping):  # of inception_score, the mean comes first
            score = next(iter(score.values()))
        return np.float64(score)  # a tensor made of a Python float would be of single precision

    def _returned_for(self, folders: Sequence[str]) -> Any:
        return self.function(*folders)


@dataclass(frozen=True)
class PyiqaMetric(_FunctionMetric):
    """A metric of pyiqa; the function is what ``pyiqa.create_metric`` returns."""

    description: PyiqaDescription

    @property
    def has_parameters(self) -> bool:
        network = getattr(self.function, "net", self.function)
        return any(True for _ in getattr(network, "parameters", list)())

    def _returned_for(self, folders: Sequence[str]) -> Any:
        return self.function(*folders, verbose=False)


@dataclass(frozen=True)
class ObjectMetric(_FunctionMetric):
    """A metric object of the caller."""


@dataclass(frozen=True)
class BrokenMetric(ImageMetric):
    """A metric that could not be built.

    Attributes:
        reason: Why, in a sentence for the rows of images.
        details: All that its error says, for the log; empty if nothing is to be logged.
    """

    reason: str
    details: str = ""


@dataclass(frozen=True)
class FileMetric:
    """A metric whose scores are in a file of any tool.

    Attributes:
        path: The file, a folder of results on Ray, or one file for each method, ``{method}.csv``.
        options: ``column``, ``key``, ``lower_better``.
        scores: Name of an image -> its score.
        changed_images: Images that changed since they were scored, and whose scores are left out.
    """

    label: str
    path: str
    options: Settings
    record: Record = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    changed_images: Sequence[str] = ()
    takes = Takes.NAME
    needs_reference = False

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column(self.label, self.record),)

    def with_label(self, label: str) -> Self:
        return replace(self, label=label)

    def with_view(self, view: View) -> Self:
        """Return this metric, which sees no image."""
        return self

    def build(self, device: torch.device, seed: int = 0, strict: bool = False) -> Self:
        """Return this metric, which needs no building."""
        return self


def columns_with_fields(columns: Sequence[Column], fields: Record) -> tuple[Column, ...]:
    """Return columns with these fields in their records."""
    return tuple(replace(column, record={**column.record, **fields}) for column in columns)


AnyMetric = Description | ImageMetric | FileMetric
