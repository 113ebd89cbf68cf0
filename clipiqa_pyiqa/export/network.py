"""What goes into the file: pixels to scores, and to their map, as one network with the questions baked in."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..clip.gradient import untraced
from ..errors import CLIPIQAError
from ..metric import CLIPIQA
from ..prompts.antonym import antonym_scores, column_means
from ..prompts.pairs import Columns, Prompts, parse_columns

if TYPE_CHECKING:
    import onnx

SOLVABLE_SIDE = 64
"""The tracer cannot prove what holds below, where a map has one place a side; the file holds there too (a test)."""

EXAMPLE = (2, 3, 96, 160)
"""Shape of the images that are traced. A batch of one would make its number a constant, without a word."""


class Network(nn.Module):
    """Scores of images, ``(N, 3, H, W)`` to ``(N, C)``, and with a map their places', ``(N, C, h, w)``.

    Args:
        metric: any that can be exported, see :func:`check_fit`.
        prompts: as for the metric; default what it asks of its own accord.
        with_map: whether the places are scored as well.
    """

    def __init__(self, metric: CLIPIQA, prompts: Prompts | Columns = None, with_map: bool = False):
        super().__init__()
        self.metric, self.with_map = copy.deepcopy(metric).cpu().eval(), with_map
        self.columns = asked(self.metric, prompts)
        self.names = self.metric.columns if self.columns is None else tuple(self.columns)
        self.head = self.metric.head if self.columns is None else None
        self.sizes = (1,) * len(self.names) if self.columns is None else self.columns.sizes
        if self.head is None:
            with untraced():
                self.register_buffer("pairs", self.metric.encode_prompts(self.columns).detach().clone())
        self.tower = self.metric.clip.image_tower(torch.device("cpu"), torch.float32)
        if with_map:
            self.tower.with_map(torch.zeros(1, 3, 64, 64), self.metric.pos_embedding)  # makes what it keeps

    pairs: Tensor

    @property
    def scale(self) -> float:
        """By how much the range of scores is longer than from 0 to 1."""
        return 1.0 if self.head is None else self.head.score_range[1] - self.head.score_range[0]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.with_map:
            features, places = self.tower.with_map(x, self.metric.pos_embedding)
            of_places = self._answers(places.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (N, h, w, P) -> (N, P, h, w)
            return column_means(self._answers(features), self.sizes), column_means(of_places, self.sizes)
        features = self.metric.encode_unchecked(x)
        if self.head is not None:
            return (self.head.scores(features),)
        return (column_means(self._answers(features), self.sizes),)

    def reference(self, x: Tensor) -> tuple[Tensor, ...]:
        """The same by the metric itself."""
        scores = self.metric(x) if self.columns is None else self.metric(x, self.columns)
        return (scores, self.metric.score_map(x, self.columns)) if self.with_map else (scores,)

    def _answers(self, features: Tensor) -> Tensor:
        dim = self.pairs.shape[-1]  # behind the features of a fitted head are statistics
        return antonym_scores(features[..., :dim], self.pairs, self.metric.clip.logit_scale)


def asked(metric: CLIPIQA, prompts: Prompts | Columns = None) -> Columns | None:
    """The questions by column: those given, or the metric's own; None for learned prompts and for heads."""
    if prompts is not None:
        return parse_columns(prompts, metric.template)
    if metric.head is not None or metric.prompt_learner is not None:
        return None
    if len(metric.columns) == 1:
        return Columns({metric.columns[0]: metric.prompts})
    return Columns({name: (pair,) for name, pair in zip(metric.columns, metric.prompts, strict=True)})


def check_fit(metric: CLIPIQA, prompts: Prompts | Columns, with_map: bool) -> None:
    """Raise ``CLIPIQAError`` for a metric that cannot be exported."""
    if metric.pos_embedding == "fixed":
        raise CLIPIQAError(
            "pos_embedding='fixed' resizes and crops the image, which is not exported: export with "
            "pos_embedding='interpolate', and give the file CLIP's own square of pixels, which is the same."
        )
    if metric.precision != "fp32":
        raise CLIPIQAError(f"precision must be 'fp32' to be exported; got {metric.precision!r}.")
    if with_map and metric.head is not None and prompts is None:
        raise CLIPIQAError("a fitted head scores whole images, not places: export it without a map, or name prompts.")


def traced(network: Network, opset: int) -> onnx.ModelProto:
    """The network as ONNX, with free N, H and W.

    Raises:
        CLIPIQAError: torch is too old, or the opset is not one that it writes.
    """
    if "prefer_deferred_runtime_asserts_over_guards" not in inspect.signature(torch.export.export).parameters:
        raise CLIPIQAError(
            f"torch {torch.__version__} cannot export for images of any size: install 2.9 or a newer one."
        )
    side = {name: torch.export.Dim(name, min=SOLVABLE_SIDE) for name in ("H", "W")}
    free: Any = ({0: torch.export.Dim("N"), 2: side["H"], 3: side["W"]},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.export.export(
            network, (torch.rand(EXAMPLE),), dynamic_shapes=free, strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )  # fmt: skip
        exported = torch.onnx.export(
            program, dynamo=True, input_names=["image"], output_names=["scores", "map"][: 1 + network.with_map],
            opset_version=opset, verbose=False,
        )  # fmt: skip
    assert exported is not None
    model = exported.model_proto
    written = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if written != opset:
        raise CLIPIQAError(f"opset {opset} came out as {written}: export with opset {written}.")
    return model
