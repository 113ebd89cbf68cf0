"""Metrics as they are asked for, before they are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from ...machine import keeps_pyiqas_classes
from ...prompts.pairs import Prompts
from ..files.specifications import Settings
from ..results.columns import Column, Record
from .view import UNCHANGED, View

if TYPE_CHECKING:
    import torch

    from .kinds import BrokenMetric, ClipMetric, ObjectMetric, PyiqaMetric

CLIPIQA_NAMES = ("clipiqa", "clipiqa+", "clipiqa+_rn50_512", "clipiqa+_vitL14_512")
_QUALICLIP = ("qualiclip", "qualiclip+", "qualiclip+-clive", "qualiclip+-flive", "qualiclip+-spaq")
OTHERS_ON_CLIP = ("maclip", "liqe", "liqe_mix", "laion_aes", "clipscore", *_QUALICLIP)
"""The names in ``family.MEMBERS``, which is not imported here, as it imports torch."""


class Takes(Enum):
    """What a metric takes to give a score."""

    IMAGE = "an image"
    PAIR = "an image and its reference"
    FOLDERS = "a set of images, and perhaps one of references"
    NAME = "the name of an image, as the scores are in a file"


@dataclass(frozen=True)
class Description:
    """A metric that can be built.

    Attributes:
        label: Name of its column; empty for a CLIP-IQA with a column for each question.
        name: pyiqa's name, or what the object is called.
        record: What is known of its scores before it is built.
        questions: What a CLIP-IQA without label is asked, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_questions`; None means its own questions.
    """

    label: str
    name: str = ""
    takes: Takes = Takes.IMAGE
    view: View = UNCHANGED
    questions: Prompts | Mapping[str, Any] = None
    record: Record = field(default_factory=dict)

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column(self.label, self.record),) if self.label else ()

    @property
    def needs_reference(self) -> bool:
        return self.takes is Takes.PAIR or (self.takes is Takes.FOLDERS and self.name != "inception_score")

    def with_label(self, label: str) -> Self:
        return replace(self, label=label)

    def with_view(self, view: View) -> Self:
        return replace(self, view=view)

    def build(
        self, device: torch.device, seed: int = 0, strict: bool = False
    ) -> ClipMetric | PyiqaMetric | ObjectMetric | BrokenMetric:
        """Return the metric, ready to score on the device, or one that tells why it cannot.

        Args:
            seed: torch's seed while pyiqa makes parameters that are in no file.
            strict: Raise ``CLIPIQAError`` if it cannot be built; a metric without label is always strict.
        """
        from .building import build  # imports torch

        return build(self, device, seed, strict)


@dataclass(frozen=True)
class PyiqaDescription(Description):
    """A metric named as in pyiqa, ours or pyiqa's own; another process can build it, too.

    Attributes:
        options: Changes to pyiqa's ``metric_opts``.
    """

    options: Settings = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether this package's own class is built, without importing pyiqa."""
        has_our_name = self.name in CLIPIQA_NAMES or self.name in OTHERS_ON_CLIP
        return has_our_name and "type" not in self.options and not keeps_pyiqas_classes()

    @property
    def is_clipiqa(self) -> bool:
        return self.is_ours and self.name in CLIPIQA_NAMES


@dataclass(frozen=True)
class ObjectDescription(Description):
    """A metric object of the caller, or a function that makes a CLIP-IQA."""

    instance: Any = None
