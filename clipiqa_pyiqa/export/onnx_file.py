"""Export of a metric as an ONNX file, checked in onnxruntime."""

from __future__ import annotations

import copy
import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import CLIPIQAError, FilePath, checked, log
from ..files.writing import check_output, replacing
from ..metric import CLIPIQA, net_of
from ..prompts.antonym import antonym_scores, column_means
from ..prompts.pairs import Columns, Prompts, as_texts, column_records, parse_columns

if TYPE_CHECKING:
    import onnx

SOLVABLE_SIDE = 64
"""Smallest side for which the tracer can solve its constraints; tests show that smaller sides work too."""

OPSET = 18
"""Version of ONNX's operators; the lowest that torch's exporter writes, so that most runtimes read the file."""

EXAMPLE = (2, 3, 96, 160)
"""Shape of the images for tracing; with a batch of one, the tracer would make N a constant."""

TOLERANCE = 1e-4
"""Largest allowed difference between scores of file and metric, as a share of the range of scores."""

SHAPES = ((1, 97, 131), (2, 64, 96), (3, 75, 65))
"""N, H and W of the images for the check: odd and even sides; the network was traced with another shape."""

INPUT = (
    "image: float32 (N, 3, H, W), RGB in [0, 1], as decoded (8-bit values divided by 255), upright by its EXIF "
    "orientation, not resized, not normalised"
)


@dataclass(frozen=True)
class OnnxFile:
    """An exported file; ``difference``: the largest from the metric's scores, as a share of their range."""

    path: Path
    columns: tuple[str, ...]
    with_map: bool
    size: int
    metadata: Mapping[str, str]
    difference: float

    def describe(self) -> str:
        columns = f"{', '.join(self.columns)}{', with maps' if self.with_map else ''}"
        return (
            f"{self.path}: {columns}; {self.size / 1e6:.1f} MB, opset {OPSET}, agrees within {self.difference:.1e} in "
            "onnxruntime."
        )


@checked
def export_onnx(
    metric: Any,
    path: FilePath,
    prompts: Prompts | Columns = None,
    *,
    with_map: bool = False,
    overwrite: bool = False,
) -> OnnxFile:
    """Write a metric as an ONNX file, for onnxruntime in any language or browser.

    The input ``image`` is RGB ``(N, 3, H, W)`` in [0, 1]; outputs are ``scores`` ``(N, C)`` and, with a map, ``map``
    ``(N, C, h, w)``. The metadata hold provenance, columns and input format.

    Args:
        prompts: questions, one column each; default the metric's own.

    Raises:
        CLIPIQAError: the metric cannot be exported, a package is missing or too old, or the file gives other scores.
    """
    metric = net_of(metric)
    if not isinstance(metric, CLIPIQA):
        raise CLIPIQAError(f"metric must be a CLIPIQA; got a {type(metric).__name__}.")
    if metric.pos_embedding == "fixed":
        raise CLIPIQAError(
            "pos_embedding must be 'none' or 'interpolate'; got 'fixed', whose resizing is not exported: use "
            "'interpolate', which gives the same scores for images of CLIP's input size."
        )
    if metric.precision != "fp32":
        raise CLIPIQAError(f"precision must be 'fp32'; got {metric.precision!r}.")
    if with_map and metric.head is not None and prompts is None:
        raise CLIPIQAError("with_map must be False for a fitted head; got True: pass `prompts`, or leave out with_map.")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise CLIPIQAError(f"exporting needs {', '.join(missing)}: pip install 'clipiqa-pyiqa[onnx]'.")
    target = check_output(path, overwrite=overwrite)

    log.info("tracing the network, which takes a while")
    network = Network(metric, prompts, with_map)
    model = traced(network)
    first = next(iter(network.records.values()))
    facts = {"columns": network.names, "score_range": first["range"], "lower_better": first["lower_better"]}
    if network.columns is not None:
        pairs = {name: record["questions"] for name, record in network.records.items()}
        facts["pairs"] = json.dumps(pairs, ensure_ascii=False)
    facts |= {"input": INPUT, "min_side": network.metric.clip.cell, "aggregate": "mean of the pairs of each column"}
    metadata = as_texts({**network.metric.provenance(), "scores": network.records, **facts})
    if network.with_map:
        metadata["map"] = f"a score for each cell of {network.metric.clip.cell} px, from the upper left corner on"
    finish(model, metadata)
    with replacing(target) as partial:
        try:
            content = model.SerializeToString()
        except ValueError as error:
            raise CLIPIQAError(f"{metric.clip.weights.backbone} does not fit into one ONNX file: {error}.") from error
        partial.write_bytes(content)
        log.info("comparing the file with the metric in onnxruntime")
        apart = _difference(network, partial)
        if not apart <= TOLERANCE:
            raise CLIPIQAError(
                f"the file differs from its metric by {apart:.2g} in onnxruntime and was not kept: try other releases "
                "of torch, onnxscript or onnxruntime."
            )
    return OnnxFile(target, network.names, with_map, len(content), metadata, apart)


def _difference(network: Network, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    low, high = network.metric.score_range
    largest = 0.0
    generator = torch.Generator().manual_seed(0)
    for count, height, width in SHAPES:
        x = torch.rand((count, 3, height, width), generator=generator)
        with torch.no_grad():
            expected = network.reference(x)
        for ours, theirs in zip(expected, session.run(None, {"image": x.numpy()}), strict=True):
            if ours.shape != theirs.shape:
                return float("inf")
            largest = max(largest, (ours - torch.from_numpy(theirs)).abs().max().item() / (high - low))
    return largest


def finish(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    import onnx

    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.producer_name, model.producer_version = "clipiqa-pyiqa", dict(metadata)["version"]
    graph.name = "CLIP-IQA"
    model.doc_string = "CLIP-IQA: images to scores. The metadata describe the metric and its input."
    onnx.helper.set_model_props(model, dict(metadata))


class Network(nn.Module):
    """Module from images ``(N, 3, H, W)`` to scores ``(N, C)`` and, with a map, scores of places ``(N, C, h, w)``."""

    def __init__(self, metric: CLIPIQA, prompts: Prompts | Columns = None, with_map: bool = False):
        super().__init__()
        self.metric, self.with_map = copy.deepcopy(metric).cpu().eval(), with_map
        self.columns = self.metric.questions if prompts is None else parse_columns(prompts, metric.template)
        self.records = self.metric.provenance()["scores"] if self.columns is None else column_records(self.columns)
        self.names = tuple(self.records)
        self.head = self.metric.head if self.columns is None else None
        self.sizes = [1] if self.columns is None else [*map(len, self.columns.values())]
        if self.head is None:
            self.register_buffer("pairs", self.metric.encode_prompts(self.columns).detach().clone())
        self.tower = self.metric.clip.image_tower(torch.device("cpu"), torch.float32)

    pairs: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.head is not None:
            return (self.head.scores(self.metric.encode_unchecked(x)),)
        parts: Any = ("image", "places") if self.with_map else ("image",)
        return tuple(map(self._answers, self.tower.encode(x, self.metric.pos_embedding, *parts)))

    def reference(self, x: Tensor) -> tuple[Tensor, ...]:
        scores = self.metric(x, self.columns)
        return (scores, self.metric.score_map(x, self.columns)) if self.with_map else (scores,)

    def _answers(self, features: Tensor) -> Tensor:
        """Return scores of images ``(N, D)`` or of places ``(N, D, h, w)``."""
        scores = antonym_scores(features.movedim(1, -1), self.pairs, self.metric.clip.logit_scale)
        return column_means(scores, self.sizes).movedim(-1, 1)


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
