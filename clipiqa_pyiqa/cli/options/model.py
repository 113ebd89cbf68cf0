"""The options that every command which scores images has: which CLIP, and how images become pixels."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError

if TYPE_CHECKING:
    import torch

    from ...metric import CLIPIQA
    from ...prompts.pairs import PromptPair


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which CLIP-IQA scores; :func:`build_metric` reads these, and ``--template`` of the prompts."""
    add = parser.add_argument_group("which CLIP").add_argument
    add("--backbone", default="RN50", metavar="NAME", help="RN50 (default), ViT-B/32, …: see `clipiqa weights`")
    add("--clip-weights", metavar="FILE|TAG", help="a checkpoint file, or an open_clip tag; default: OpenAI's")
    add("--pos-embedding", default="none", metavar="MODE", help="none (default), interpolate, or fixed (CLIP's 224 px)")
    add("--precision", default="fp32", metavar="KIND", help="fp32 (default), bf16 or fp16")
    add("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or mps; default: cuda if there is one, else cpu")
    add(
        "--quick-gelu", action=argparse.BooleanOptionalAction,
        help="whether a checkpoint file that is no published one was trained with QuickGELU (default: yes)",
    )  # fmt: skip


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """How files become pixels: :func:`image_limits` and :func:`prepare_reading` read them."""
    add = parser.add_argument_group("images").add_argument
    add("--max-side", type=int, metavar="PX", help="shrink images with a longer side to this; recorded in the result")
    add("--max-pixels", type=int, metavar="N", help="shrink images with more pixels to this; recorded in the result")
    add("--no-exif", action="store_true", help="leave pictures as stored, ignoring their EXIF orientation")
    add_decoding_options(add)
    add("--batch-size", type=int, default=8, metavar="N", help="images of equal size scored at once (default: 8)")
    add("--workers", type=int, metavar="N", help="decoding threads (default: one per core, up to 8)")


def build_learned(args: argparse.Namespace, device: torch.device) -> CLIPIQA:
    """The metric with ``--learned-prompts``; what was learned on counts unless told."""
    from ...metric import CLIPIQA
    from ...prompts.files import PUBLISHED

    asked = args.learned_prompts
    given = ("backbone", "pos_embedding", "precision", "clip_weights", "quick_gelu")
    options: dict[str, Any] = {key: value for key in given if (value := getattr(args, key)) is not None}
    if asked in PUBLISHED:
        learned_on = {"backbone": PUBLISHED[asked].backbone, "pos_embedding": PUBLISHED[asked].pos_embedding}
        return CLIPIQA(asked, **{**learned_on, **options}).to(device).eval()
    metric = CLIPIQA("clipiqa+", **options, pretrained_model_path=asked).to(device).eval()
    if metric.head is not None:
        metric.aggregate = None  # with the interval, if it has one
    return metric


def build_metric(
    args: argparse.Namespace, columns: Mapping[str, tuple[PromptPair, ...]] | None, device: torch.device
) -> CLIPIQA:
    """The metric that the options name, on its device; ``columns`` is what it asks of its own accord."""
    # Not through pyiqa.create_metric: that builds the same class, but importing pyiqa takes seconds.
    from ...metric import CLIPIQA

    metric = CLIPIQA(
        backbone=args.backbone or "RN50",
        pos_embedding=args.pos_embedding or "none",
        precision=args.precision,
        clip_weights=args.clip_weights,
        quick_gelu=args.quick_gelu,
        template=args.template,
        prompts=None if columns is None else list(itertools.chain(*columns.values())),
        aggregate=None,
    )
    return metric.to(device).eval()


def image_limits(args: argparse.Namespace) -> dict[str, Any]:
    """What of the options decides the pixels, as arguments of ``score_paths``."""
    return {"apply_exif": not args.no_exif, "max_side": args.max_side, "max_pixels": args.max_pixels}


def add_decoding_options(add: Any) -> None:
    """How much may be decoded; :func:`prepare_reading` and :func:`memory_limited` read it."""
    add("--huge", action="store_true", help="also decode images above PIL's limit against decompression bombs")
    add("--memory", type=_size, metavar="SIZE", help="memory for decoding, such as 2G (default: half of what there is)")


@contextlib.contextmanager
def memory_limited(size: int | None) -> Iterator[None]:
    """Bound the memory of decoding in a context; None leaves it as it is."""
    if size is None:
        yield
        return
    from ...images.memory import limit_memory

    limit_memory(size)
    try:
        yield
    finally:
        limit_memory(None)


def prepare_reading(huge: bool) -> None:
    """Leave PIL's warnings out, and its limit too where ``--huge`` was given; keep memory from batch to batch."""
    from PIL import Image

    from ...images.memory import keep_memory

    keep_memory()
    warnings.filterwarnings("ignore", module="PIL")  # damage is reported as an error, and odd metadata is no news
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # 89 to 179 megapixels are just photos
    if huge:
        Image.MAX_IMAGE_PIXELS = None


def _size(text: str) -> int:
    from ...images.memory import parse_size

    try:
        return parse_size(text, "it")
    except CLIPIQAError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def check_resume(args: argparse.Namespace, what: str) -> None:
    """Raise unless ``--resume``, ``--overwrite`` and ``--out``, the file or folder for results, go together."""
    if args.resume and args.overwrite:
        raise CLIPIQAError("--resume keeps the results in --out and --overwrite drops them: give one of the two.")
    if args.resume and args.out is None:
        raise CLIPIQAError(f"--resume needs --out, the {what} to go on with.")
