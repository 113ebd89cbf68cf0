"""The network that is exported, and its trace as an ONNX model."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .errors import CLIPIQAError
from .metric import CLIPIQA
from .prompts.antonym import antonym_scores, column_means
from .prompts.pairs import Prompts, QuestionsByColumn, column_records, parse_questions

if TYPE_CHECKING:
    import onnx

SOLVABLE_SIDE = 64
"""Smallest side for which the tracer can solve its constraints; tests show that smaller sides work too."""

OPSET = 18
"""Version of ONNX's operators; the lowest that torch's exporter writes, so that most runtimes read the file."""

EXAMPLE = (2, 3, 96, 160)
"""Shape of the images for tracing; with a batch of one, the tracer would make N a constant."""


class Network(nn.Module):
    """Module from images ``(N, 3, H, W)`` to scores ``(N, C)`` and, with a map, scores of places ``(N, C, h, w)``."""

    pairs: Tensor

    def __init__(self, metric: CLIPIQA, prompts: Prompts | QuestionsByColumn = None, with_map: bool = False):
        super().__init__()
        self.metric = copy.deepcopy(metric).cpu().eval()
        self.with_map = with_map
        self.questions = self.metric.questions if prompts is None else parse_questions(prompts, metric.template)
        if self.questions is None:  # learned prompts or a head
            self.records = self.metric.provenance()["scores"]
            self.head = self.metric.head
            self.sizes = [1]
        else:
            self.records = column_records(self.questions)
            self.head = None
            self.sizes = [len(pairs) for pairs in self.questions.values()]
        self.names = tuple(self.records)
        if self.head is None:
            self.register_buffer("pairs", self.metric.encode_prompts(self.questions).detach().clone())
        self.tower = self.metric.clip.image_tower(torch.device("cpu"), torch.float32)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.head is not None:
            return (self.head.scores(self.metric.encode_unchecked(x)),)
        parts: Any = ("image", "places") if self.with_map else ("image",)
        features = self.tower.encode(x, self.metric.pos_embedding, *parts)
        return tuple(self._scores(of_part) for of_part in features)

    def reference(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return what the metric itself says of images, for comparison."""
        scores = self.metric(x, self.questions)
        if not self.with_map:
            return (scores,)
        return (scores, self.metric.score_map(x, self.questions))

    def _scores(self, features: Tensor) -> Tensor:
        """Return scores of images ``(N, D)`` or of places ``(N, D, h, w)``."""
        scores = antonym_scores(features.movedim(1, -1), self.pairs, self.metric.clip.logit_scale)
        return column_means(scores, self.sizes).movedim(-1, 1)


def traced(network: Network) -> onnx.ModelProto:
    """Return a network as an ONNX model, for images of any number and size."""
    if "prefer_deferred_runtime_asserts_over_guards" not in inspect.signature(torch.export.export).parameters:
        raise CLIPIQAError(f"torch must be 2.9 or newer; got {torch.__version__}.")
    count = torch.export.Dim("N")
    height = torch.export.Dim("H", min=SOLVABLE_SIDE)
    width = torch.export.Dim("W", min=SOLVABLE_SIDE)
    free_axes: Any = ({0: count, 2: height, 3: width},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            network, (torch.rand(EXAMPLE),), dynamic_shapes=free_axes, strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )  # fmt: skip
        exported = torch.onnx.export(
            program, dynamo=True, input_names=["image"],
            dynamic_shapes=({0: "N", 2: "H", 3: "W"},),  # names of the axes
            output_names=["scores", "map"] if network.with_map else ["scores"],
            opset_version=OPSET, verbose=False,
        )  # fmt: skip
    assert exported is not None
    return exported.model_proto
