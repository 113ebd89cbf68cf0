"""Export of a metric as an ONNX file, checked in onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CLIPIQAError, checked
from ..files.writing import check_output, replacing
from ..metric import CLIPIQA, net_of
from ..prompts.pairs import Columns, Prompts
from ..prompts.provenance import as_texts
from .network import OPSET, Network, check_fit, traced

if TYPE_CHECKING:
    import onnx

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
        check = f"agrees within {self.difference:.1e} in onnxruntime"
        return f"{self.path}: {columns}; {self.size / 1e6:.1f} MB, opset {OPSET}, {check}."


@checked
def export_onnx(
    metric: Any,
    path: str | Path,
    prompts: Prompts | Columns = None,
    *,
    with_map: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda step: None,
) -> OnnxFile:
    """Write a metric as an ONNX file, for onnxruntime in any language or browser.

    The input ``image`` is RGB ``(N, 3, H, W)`` in [0, 1]; outputs are ``scores`` ``(N, C)`` and, with a map, ``map``
    ``(N, C, h, w)``. The metadata hold provenance, columns and input format.

    Args:
        prompts: questions, one column each; default the metric's own.
        progress: called with the name of each step.

    Raises:
        CLIPIQAError: the metric cannot be exported, a package is missing or too old, or the file gives other scores.
    """
    metric = net_of(metric)
    if not isinstance(metric, CLIPIQA):
        raise CLIPIQAError(f"metric must be a CLIPIQA; got a {type(metric).__name__}.")
    check_fit(metric, prompts, with_map)
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise CLIPIQAError(f"exporting needs {', '.join(missing)}: pip install 'clipiqa-pyiqa[onnx]'.")
    target = check_output(path, overwrite=overwrite)

    progress("tracing the network, which takes a while")
    network = Network(metric, prompts, with_map)
    model = traced(network)
    metadata = described_by(network)
    finish(model, metadata)
    with replacing(target) as partial:
        try:
            content = model.SerializeToString()
        except ValueError as error:
            raise CLIPIQAError(f"{metric.clip.weights.backbone} does not fit into one ONNX file: {error}.") from error
        partial.write_bytes(content)
        progress("comparing the file with the metric in onnxruntime")
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
    low, high = next(iter(network.records.values()))["range"]
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


def described_by(network: Network) -> dict[str, str]:
    first = next(iter(network.records.values()))
    facts = {"columns": network.names, "score_range": first["range"], "lower_better": first["lower_better"]}
    if network.columns is not None:
        facts["pairs"] = {name: record["questions"] for name, record in network.records.items()}
    metadata = {
        **as_texts({**network.metric.provenance(), "scores": network.records}),
        **{name: json.dumps(value, ensure_ascii=False) for name, value in facts.items()},
        "input": INPUT,
        "min_side": str(network.metric.clip.cell),
        "aggregate": "mean of the pairs of each column",
    }
    if network.with_map:
        metadata["map"] = f"a score for each cell of {network.metric.clip.cell} px, from the upper left corner on"
    return metadata


def finish(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    import onnx

    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.producer_name, model.producer_version = "clipiqa-pyiqa", dict(metadata)["version"]
    graph.name = "CLIP-IQA"
    model.doc_string = "CLIP-IQA: images to scores. The metadata describe the metric and its input."
    onnx.helper.set_model_props(model, dict(metadata))
