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

from .checks import FilePath
from .errors import CLIPIQAError
from .files import check_output, replacing
from .metric import CLIPIQA
from .options import net_of
from .prompts.antonym import antonym_scores, column_means
from .prompts.pairs import Prompts, QuestionsByColumn, column_records, only_pairs, parse_questions
from .prompts.provenance import as_texts
from .text import log, pip_install

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Version of ONNX's operators; the lowest that torch's exporter writes, so that most runtimes read the file."""

EXAMPLE = (2, 3, 96, 160)
"""Shape of the images for tracing; with a batch of one, the tracer would make N a constant."""

SOLVABLE_SIDE = 64
"""Smallest side for which the tracer can solve its constraints; tests show that smaller sides work too."""

SHAPES = ((1, 97, 131), (2, 64, 96), (3, 75, 65))
"""N, H and W of the images for the check: odd and even sides; the network was traced with another shape."""

TOLERANCE = 1e-4
"""Largest allowed difference between scores of file and metric, as a share of the range of scores."""

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
        """Return a sentence for users."""
        columns = ", ".join(self.columns)
        maps = ", with maps" if self.with_map else ""
        return (
            f"{self.path}: {columns}{maps}; {self.size / 1e6:.1f} MB, opset {OPSET}, agrees within "
            f"{self.difference:.1e} in onnxruntime."
        )


def export_onnx(
    metric: Any,
    path: FilePath,
    prompts: Prompts | QuestionsByColumn = None,
    *,
    with_map: bool = False,
    overwrite: bool = False,
) -> OnnxFile:
    """Write a metric as an ONNX file, for onnxruntime in any language or browser.

    The input ``image`` is RGB ``(N, 3, H, W)`` in [0, 1]; outputs are ``scores`` ``(N, C)`` and, with a map, ``map``
    ``(N, C, h, w)``. The metadata hold provenance, columns and input format.

    Args:
        metric: a :class:`~clipiqa_pyiqa.CLIPIQA`, pyiqa's metric with one, or a function that makes one.
        path: the file to write.
        prompts: questions, one column each; default the metric's own.
        with_map: also write scores of places.
        overwrite: replace an existing file.

    Raises:
        CLIPIQAError: the metric cannot be exported, a package is missing or too old, or the file gives other scores.
    """
    net = net_of(metric)
    _check_exportable(net, prompts, with_map)
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise CLIPIQAError(f"exporting needs {', '.join(missing)}: run {pip_install(['onnx'])}.")
    target = check_output(path, overwrite=overwrite)

    log.info("tracing the network, which takes a while")
    network = Network(net, prompts, with_map)
    model = traced(network)
    metadata = _metadata_of(network)
    _set_metadata(model, metadata)
    try:
        content = bytes(model.SerializeToString())
    except ValueError as error:
        raise CLIPIQAError(f"{net.clip.weights.backbone} does not fit into one ONNX file: {error}.") from error
    with replacing(target) as partial:
        partial.write_bytes(content)
        log.info("comparing the file with the metric in onnxruntime")
        difference = _difference(network, partial)
        if not difference <= TOLERANCE:  # also if it is NaN
            raise CLIPIQAError(
                f"the file differs from its metric by {difference:.2g} in onnxruntime and was deleted: try other "
                "releases of torch, onnxscript or onnxruntime."
            )
    return OnnxFile(target, network.names, with_map, len(content), metadata, difference)


def _check_exportable(net: Any, prompts: Prompts | QuestionsByColumn, with_map: bool) -> None:
    if not isinstance(net, CLIPIQA):
        raise CLIPIQAError(f"metric must be a CLIPIQA; got a {type(net).__name__}.")
    if net.has_fixed_input:
        raise CLIPIQAError(
            "pos_embedding must be 'none' or 'interpolate'; got 'fixed', whose resizing is not exported: use "
            "'interpolate', which gives the same scores for images of CLIP's input size.",
            options=("pos_embedding",),
        )
    if net.precision != "fp32":
        raise CLIPIQAError(f"precision must be 'fp32'; got {net.precision!r}.", options=("precision",))
    questions = net.questions if prompts is None else parse_questions(prompts, net.template)
    for of_column in (questions or {}).values():
        only_pairs(of_column, "an ONNX file")
    if with_map and net.head is not None and prompts is None:
        raise CLIPIQAError(
            "a fitted head has no map: pass `prompts`, or leave out the map.",
            options=("prompts",),
        )


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

    def _scores(self, features: Tensor) -> Tensor:
        """Return scores of images ``(N, D)`` or of places ``(N, D, h, w)``."""
        scores = antonym_scores(features.movedim(1, -1), self.pairs, self.metric.clip.logit_scale)
        return column_means(scores, self.sizes).movedim(-1, 1)

    def reference(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return what the metric itself says of images, for comparison."""
        scores = self.metric(x, self.questions)
        if not self.with_map:
            return (scores,)
        return (scores, self.metric.score_map(x, self.questions))


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


def _metadata_of(network: Network) -> dict[str, str]:
    """Return the provenance, the columns and the form of the input, as texts."""
    first_column = next(iter(network.records.values()))
    cell = network.metric.clip.cell
    facts: dict[str, Any] = {
        **network.metric.provenance(),
        "scores": network.records,
        "columns": network.names,
        "score_range": network.metric.score_range if network.questions is None else first_column["range"],
        "lower_better": first_column["lower_better"],
    }
    if network.questions is not None:
        pairs = {name: record["questions"] for name, record in network.records.items()}
        facts["pairs"] = json.dumps(pairs, ensure_ascii=False)
        facts["aggregate"] = "mean of the pairs of each column"
    facts["input"] = INPUT
    facts["min_side"] = cell
    if network.with_map:
        facts["map"] = f"a score for each cell of {cell} px, from the upper left corner on"
    return as_texts(facts)


def _set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Put metadata into a model, in place of what tells of the machine that traced it."""
    import onnx

    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.producer_name = "clipiqa-pyiqa"
    model.producer_version = metadata["version"]
    graph.name = "CLIP-IQA"
    model.doc_string = "CLIP-IQA: images to scores. The metadata describe the metric and its input."
    onnx.helper.set_model_props(model, dict(metadata))


def _difference(network: Network, path: Path) -> float:
    """Return the largest difference between file and metric, as a share of the range; infinite if shapes differ."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    low, high = network.metric.score_range
    largest = 0.0
    generator = torch.Generator().manual_seed(0)
    for count, height, width in SHAPES:
        x = torch.rand((count, 3, height, width), generator=generator)
        with torch.no_grad():
            of_metric = network.reference(x)
        of_file = session.run(None, {"image": x.numpy()})
        for expected, array in zip(of_metric, of_file, strict=True):
            if expected.shape != array.shape:
                return float("inf")
            difference = (expected - torch.from_numpy(array)).abs().max().item() / (high - low)
            largest = max(largest, difference)
    return largest
