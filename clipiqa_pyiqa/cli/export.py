"""``clipiqa export``: a metric as an ONNX file, for where there is no PyTorch."""

from __future__ import annotations

from pathlib import Path

from ..errors import OptionError
from ..errors.arguments import Machine
from .options import model as models
from .options.model import LearnedQuestions, Model
from .options.progress import note


def run(
    model: Model,
    questions: LearnedQuestions,
    path: Path | None = None,
    *,
    out: Path | None = None,
    map: bool = False,
    opset: int = 18,
    check: bool = True,
    overwrite: bool = False,
    device: str = "cpu",
) -> int:
    """Write a metric as an ONNX file, for where there is no PyTorch.

    Pixels go in as they are, `image` (N, 3, H, W), RGB in [0, 1], of any size; `scores` (N, C) come out, and with --map
    `map` (N, C, h, w). Prompts are baked in. The file is compared with the metric in onnxruntime, if that is installed,
    before it gets its name. Needs pip install 'clipiqa-pyiqa[onnx]'.

    examples:
      clipiqa export model.onnx
      clipiqa export mini.onnx --backbone mini --prompts quality sharpness noisiness --map
      clipiqa export mine.onnx --learned-prompts head.safetensors

    Args:
        path (FILE): write the model here, such as model.onnx; or --out FILE
        model: which CLIP
        questions: what to ask
        out (-o FILE): the same as FILE
        map: also the scores of each place
        opset: of ONNX, from 18, read by the most, to 23
        check: compare the file with the metric in onnxruntime
        overwrite: replace FILE if it exists
        device (DEVICE): cpu, cuda, cuda:N or mps
    """
    from ..files.writing import check_output

    if (path is None) == (out is None):
        raise OptionError("export writes one file: name it, such as model.onnx.")
    written_to = path or out
    assert written_to is not None
    check_output(written_to, overwrite=overwrite)
    questions.check()
    found = models.start(Machine(device=device), model.backbone or "the model")
    from ..export.onnx_file import export_onnx

    columns = None
    if questions.learned_prompts is not None:
        metric = models.build_learned(model, questions.learned_prompts, found)
    else:
        columns = questions.columns()
        metric = models.build_metric(model, questions.template, columns, found)
    options = {"with_map": map, "opset": opset, "check": check, "overwrite": overwrite, "progress": note}
    print(export_onnx(metric, written_to, columns, **options).describe())  # type: ignore[arg-type]
    return 0
