"""``clipiqa export``: a metric as an ONNX file, for where there is no PyTorch."""

from __future__ import annotations

import argparse

from ..errors import CLIPIQAError
from .options.config import add_config
from .options.model import add_model_options

EPILOG = """\
Pixels go in as they are, `image` (N, 3, H, W), RGB in [0, 1], of any size; `scores` (N, C) come out, and with --map
`map` (N, C, h, w). Prompts are baked in. The file is compared with the metric in onnxruntime, if that is installed,
before it gets its name. Needs pip install 'clipiqa-pyiqa[onnx]'.

examples:
  clipiqa export model.onnx
  clipiqa export mini.onnx --backbone mini --prompts quality sharpness noisiness --map
  clipiqa export mine.onnx --learned-prompts head.safetensors
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("path", metavar="FILE", nargs="?", help="write the model here, such as model.onnx; or --out FILE")
    add_config(parser)
    what = parser.add_argument_group("what to ask").add_argument
    what(
        *("--prompts", "-p"), nargs="+", action="extend", metavar="PROMPT",
        help="named pairs (see `clipiqa prompts`), presets, or 'positive|negative': one column each (default: quality)",
    )  # fmt: skip
    what("--template", metavar="TEXT", help="wording of the named pairs, such as 'A photo of {}.'")
    what(
        "--learned-prompts", metavar="FILE|NAME",
        help="learned prompts or a fitted head: a file of `clipiqa train` or `clipiqa fit`, or clipiqa+, …",
    )  # fmt: skip
    what("--map", action="store_true", help="also the scores of each place")
    add_model_options(parser)
    parser.set_defaults(backbone=None, pos_embedding=None, device="cpu")  # or what prompts were learned on
    file = parser.add_argument_group("file").add_argument
    file("--out", metavar="FILE", help="the same as FILE")
    file("--opset", type=int, default=18, metavar="N", help="of ONNX, 18 (default, read by the most) to 23")
    file("--no-check", action="store_true", help="do not compare the file with the metric in onnxruntime")
    file("--overwrite", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written."""
    from ..clip.device import find_device
    from ..export.onnx_file import export_onnx
    from ..files.writing import check_output
    from ..prompts.pairs import parse_columns, parse_prompt_argument
    from .options.model import build_learned, build_metric

    given = [path for path in (args.path, args.out) if path is not None]
    if len(given) != 1:
        raise CLIPIQAError(f"export writes one file, but {len(given) or 'none'} came: name it, such as model.onnx.")
    (path,) = given
    check_output(path, overwrite=args.overwrite)
    if args.learned_prompts is not None and (args.prompts or args.template):
        raise CLIPIQAError("--learned-prompts is a question of its own: leave out --prompts and --template.")
    device = find_device(args.device)
    if args.learned_prompts is not None:
        columns, metric = None, build_learned(args, device)
    else:
        columns = parse_columns(list(map(parse_prompt_argument, args.prompts or ["quality"])), args.template)
        metric = build_metric(args, columns, device)
    written = export_onnx(
        metric, path, columns, with_map=args.map, opset=args.opset, check=not args.no_check,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(written.describe())
    return 0
