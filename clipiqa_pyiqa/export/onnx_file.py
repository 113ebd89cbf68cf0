"""``export_onnx``: a metric as one ONNX file, checked against the metric that it was made of."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError
from ..errors.arguments import checked
from ..files.writing import check_output, replacing
from ..metric import CLIPIQA
from ..prompts.pairs import Columns, Prompts
from ..prompts.provenance import column_records, in_words
from .agreement import difference, runtime_version
from .network import Network, check_fit, traced

if TYPE_CHECKING:
    import onnx

OPSETS = range(18, 24)
"""Those that torch's exporter writes; onnxruntime reads the first from its release 1.14 on."""

TOLERANCE = 1e-4
"""By what share of the range of scores a file may differ from its metric: a wrong graph differs by far more."""

INPUT = (
    "image: float32 (N, 3, H, W), RGB in [0, 1], as decoded (8-bit values divided by 255), upright by its EXIF "
    "orientation, not resized, not normalised"
)

logger = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class OnnxFile:
    """An exported file.

    Attributes:
        path: where it is.
        columns: names of the columns of ``scores``, and of the maps of ``map``.
        with_map: whether there is a ``map``.
        opset: of ONNX.
        size: in bytes.
        metadata: what the file says about itself.
        difference: the largest difference from the metric on a few images, as a share of the range of scores, or None
            where it was not checked.
        runtime: the version of onnxruntime that it was checked with, or None.
    """

    path: Path
    columns: tuple[str, ...]
    with_map: bool
    opset: int
    size: int
    metadata: Mapping[str, str]
    difference: float | None
    runtime: str | None

    def describe(self) -> str:
        """In one sentence."""
        what = f"{', '.join(self.columns)}{', with maps' if self.with_map else ''}"
        checked = "not checked"
        if self.runtime:
            checked = f"agrees within {self.difference:.1e} in onnxruntime {self.runtime}"
        return f"{self.path}: {what}; {self.size / 1e6:.1f} MB, opset {self.opset}, {checked}."


@checked
def export_onnx(
    metric: CLIPIQA | Any,
    path: str | Path,
    prompts: Prompts | Columns = None,
    *,
    with_map: bool = False,
    opset: int = 18,
    check: bool = True,
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda step: None,
) -> OnnxFile:
    """Write a metric as an ONNX file, which needs no PyTorch: for onnxruntime, in any language, or in a browser.

    Pixels go in as they are, ``image`` ``(N, 3, H, W)`` in [0, 1], any N, H and W from the backbone's smallest on;
    ``scores`` ``(N, C)`` come out, one for each column, and ``map`` ``(N, C, h, w)`` if asked. The prompts are
    baked in, so that there is no text tower. What the file is made of, the columns' names and the input convention are
    in its metadata.

    Args:
        metric: a :class:`~clipiqa_pyiqa.CLIPIQA`, or what ``pyiqa.create_metric`` made of it: with named or free pairs,
            with learned prompts, or with a fitted head.
        path: of the file to be written.
        prompts: as for the metric's call, one column each; default the metric's own.
        with_map: score each place as well, as :meth:`~clipiqa_pyiqa.CLIPIQA.score_map` does; a map for each column.
        opset: of ONNX, 18 to 23. The lowest is read by the most runtimes.
        check: compare with the metric in onnxruntime, if it is installed, before the file gets its name.
        overwrite: replace an existing file.
        progress: called before each step with what it does, such as ``'tracing the network'``.

    Returns:
        What was written; see :class:`OnnxFile`.

    Raises:
        CLIPIQAError: a metric that cannot be exported, an opset, torch or onnxruntime that is too old, a package that
            is missing, or a file that does not agree with its metric.
        PromptError: prompts that cannot be used.
        OutputError: the file cannot be written.

    Example:
        >>> from clipiqa_pyiqa import CLIPIQA, export_onnx
        >>> export_onnx(CLIPIQA(backbone="mini"), "mini.onnx", ["quality", "sharpness"])  # doctest: +SKIP
        OnnxFile(path=PosixPath('mini.onnx'), columns=('quality', 'sharpness'), ...)
    """
    metric = getattr(metric, "net", metric)
    if not isinstance(metric, CLIPIQA):
        raise CLIPIQAError(f"metric must be a CLIP-IQA of clipiqa_pyiqa; got a {type(metric).__name__}.")
    if opset not in OPSETS:
        raise CLIPIQAError(f"opset must be from {OPSETS[0]} to {OPSETS[-1]}; got {opset!r}.")
    check_fit(metric, prompts, with_map)
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise CLIPIQAError(f"exporting needs {' and '.join(missing)}: pip install 'clipiqa-pyiqa[onnx]'.")
    target = check_output(path, overwrite=overwrite)
    runtime = runtime_version() if check else None

    progress("tracing the network, which takes a while")
    network = Network(metric, prompts, with_map)
    model = traced(network, opset)
    metadata = described_by(network)
    finish(model, metadata)
    with replacing(target) as partial:
        try:
            content = model.SerializeToString()
        except ValueError as error:
            raise CLIPIQAError(f"{metric.clip.weights.backbone} does not fit into one ONNX file: {error}.") from error
        partial.write_bytes(content)
        if runtime is not None:
            progress(f"comparing it with the metric in onnxruntime {runtime}")
        apart = None if runtime is None else difference(network, partial)
        if apart is not None and not apart <= TOLERANCE:
            raise CLIPIQAError(
                f"the exported file differs from its metric by {apart:.2g} in onnxruntime {runtime}, more than "
                f"{TOLERANCE:g}, so it was not kept: try another release of torch, onnxscript or onnxruntime."
            )
    if check and runtime is None:
        logger.warning("%s was not checked: onnxruntime is not installed.", path)
    return OnnxFile(target, network.names, with_map, opset, len(content), metadata, apart, runtime)


def described_by(network: Network) -> dict[str, str]:
    """The file's metadata: provenance as in result files, the columns, and what goes in and comes out."""
    metric, columns = network.metric, network.columns
    low, high = (0.0, 1.0) if network.head is None else network.head.score_range
    known = metric.provenance()
    if columns is not None:
        known["scores"] = column_records(columns)
    said = {**in_words(known), "input": INPUT, "min_side": str(network.tower.min_side)}
    if columns is not None:
        pairs = {name: [[pair.positive, pair.negative] for pair in asked] for name, asked in columns.items()}
        said["pairs"] = json.dumps(pairs, ensure_ascii=False)
    said["columns"] = json.dumps(network.names, ensure_ascii=False)
    said["score_range"] = json.dumps([low, high])
    said["lower_better"] = json.dumps(network.head is not None and network.head.lower_better)
    said["aggregate"] = "mean of the pairs of each column"
    if network.with_map:
        said["map"] = f"a score for each cell of {metric.clip.cell} px, from the upper left corner on"
    return said


def finish(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Leave out what the tracer says of this machine, name the axes, and write down what the file is."""
    import onnx

    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    axes = (("N", None, "H", "W"), ("N", None), ("N", None, "h", "w"))
    for value, names in zip((*graph.input, *graph.output), axes, strict=False):
        for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if name:
                dim.dim_param = name
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.producer_name, model.producer_version = "clipiqa-pyiqa", dict(metadata)["version"]
    graph.name = "CLIP-IQA"
    model.doc_string = "CLIP-IQA: images to scores. See the metadata for which one, and for the input convention."
    onnx.helper.set_model_props(model, dict(metadata))
