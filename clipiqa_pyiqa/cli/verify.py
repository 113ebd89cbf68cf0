"""``clipiqa verify``: check whether weights give the published scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import OptionError
from ..errors.arguments import Machine
from .options.model import start
from .options.terminal import Bar, tell


def run(
    *,
    images: Sequence[Path] = (),
    plus: bool = False,
    data_root: Path | None = None,
    backbone: str = "RN50",
    clip_weights: str | None = None,
    device: str = "cpu",
) -> int:
    """Check whether your weights give the published scores.

    Published scores hold for OpenAI's RN50 only. Exit code: 0 all checks that ran are ok, 1 a check failed, 2
    otherwise.

    Args:
        images (PATH): I01.BMP, i01_01_5.bmp, or folders such as a checkout of piq, TID2013 or OSEDiff
        plus: check the published prompts of CLIP-IQA+ instead
        data_root (DIR): with --plus: folder of pyiqa's livec, koniq10k, koniq10k-1024 and tid2013
        backbone (-b): CLIP model to check
        clip_weights (PATH|TAG): a checkpoint file, or an open_clip tag
        device (DEVICE): cpu, cuda, cuda:N or mps
    """
    if plus and (images or clip_weights or backbone != "RN50"):
        raise OptionError("plus checks published files on OpenAI's weights: leave out images, backbone, clip_weights.")
    place = start(Machine(device=device))
    if plus:
        from ..comparison.verification import verify_learned_prompts

        with Bar() as bar:
            learned = verify_learned_prompts(data_root, device=place, progress=bar.show)
        print(learned)
        return learned.exit_code

    from ..comparison.verification import verify
    from ..metric import CLIPIQA

    found = verify(lambda: CLIPIQA(backbone=backbone, clip_weights=clip_weights).to(place).eval(), images, device=place)
    print(found)
    if not found.binding:
        tell(
            "the published scores hold for OpenAI's RN50 (RN50.pt, SHA-256 afeb0e10…) only; your weights "
            "are different, so a difference is not a failure."
        )
    return found.exit_code
