"""The network of the ONNX file, with text features as constants."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import CLIPIQAError
from ..metric import CLIPIQA
from ..prompts.antonym import antonym_scores, column_means
from ..prompts.pairs import Columns, Prompts, parse_columns
from ..prompts.provenance import column_records

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

    def __init__(self, metric: CLIPIQA, prompts: Prompts | Columns = None, with_map: bool = False):
        super().__init__()
        self.metric, self.with_map = copy.deepcopy(metric).cpu().eval(), with_map
        self.columns = self.metric.questions if prompts is None else parse_columns(prompts, metric.template)
        self.records = self.metric.provenance()["scores"] if self.columns is None else column_records(self.columns)
        self.names = tuple(self.records)
        self.head = self.metric.head if self.columns is None else None
        self.sizes = (1,) if self.columns is None else self.columns.sizes
        if self.head is None:
            self.register_buffer("pairs", self.metric.encode_prompts(self.columns).detach().clone())
        self.tower = self.metric.clip.image_tower(torch.device("cpu"), torch.float32)

    pairs: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.with_map:
            features, places = self.tower.encode(x, self.metric.pos_embedding, "image", "places")
            maps = self._answers(places.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (N, h, w, P) -> (N, P, h, w)
            return column_means(self._answers(features), self.sizes), column_means(maps, self.sizes)
        features = self.metric.encode_unchecked(x)
        if self.head is not None:
            return (self.head.scores(features),)
        return (column_means(self._answers(features), self.sizes),)

    def reference(self, x: Tensor) -> tuple[Tensor, ...]:
        scores = self.metric(x, self.columns)
        return (scores, self.metric.score_map(x, self.columns)) if self.with_map else (scores,)

    def _answers(self, features: Tensor) -> Tensor:
        dim = self.pairs.shape[-1]  # the features without statistics, which only a fitted head uses
        return antonym_scores(features[..., :dim], self.pairs, self.metric.clip.logit_scale)


def check_fit(metric: CLIPIQA, prompts: Prompts | Columns, with_map: bool) -> None:
    if metric.pos_embedding == "fixed":
        raise CLIPIQAError(
            "pos_embedding must be 'none' or 'interpolate'; got 'fixed', whose resizing is not exported: use "
            "'interpolate', which gives the same scores for images of CLIP's input size."
        )
    if metric.precision != "fp32":
        raise CLIPIQAError(f"precision must be 'fp32'; got {metric.precision!r}.")
    if with_map and metric.head is not None and prompts is None:
        raise CLIPIQAError("with_map must be False for a fitted head; got True: pass `prompts`, or leave out with_map.")


def traced(network: Network) -> onnx.ModelProto:
    if "prefer_deferred_runtime_asserts_over_guards" not in inspect.signature(torch.export.export).parameters:
        raise CLIPIQAError(f"torch must be 2.9 or newer; got {torch.__version__}.")
    height, width = (torch.export.Dim(name, min=SOLVABLE_SIDE) for name in ("H", "W"))
    free: Any = ({0: torch.export.Dim("N"), 2: height, 3: width},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            network, (torch.rand(EXAMPLE),), dynamic_shapes=free, strict=False,
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
