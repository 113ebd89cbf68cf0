"""``clipiqa export``: write a metric as an ONNX file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..options import Machine
from .options.groups import Settings
from .options.metric_options import Model, Questions
from .options.running import start


def run(
    path: Annotated[Path, Parameter(metavar="FILE")],
    /,
    *,
    map: bool = False,
    overwrite: bool = False,
    device: str = "cpu",
    questions: Questions = Questions(),
    model: Model = Model(),
    settings: Settings = Settings(),
) -> int:
    """Write a metric as an ONNX file, for programs without PyTorch.

    The input is `image` (N, 3, H, W), RGB in [0, 1], of any size; outputs are `scores` (N, C) and, with --map, `map`
    (N, C, h, w). The prompts are part of the file. Needs pip install '.[onnx]' in a clone.

    examples:
      clipiqa export mini.onnx --backbone mini --prompts quality sharpness noisiness --map
      clipiqa export mine.onnx --learned-prompts head.safetensors

    Args:
        path: the file, such as model.onnx
        map: also write the scores of each place
        overwrite: replace an existing FILE
        device: cpu, cuda, cuda:N or mps
    """
    from ...files import check_output

    check_output(path, overwrite=overwrite)
    metric = questions.described_clipiqa(model)
    where = start(Machine(device=device))
    from ...onnx_export import export_onnx
    from ..metrics.building import build_clipiqa

    clipiqa = build_clipiqa(metric, where)
    print(export_onnx(clipiqa.net, path, clipiqa.questions, with_map=map, overwrite=overwrite).describe())
    return 0
