"""``clipiqa verify``: check whether weights give the published scores."""

from collections.abc import Sequence
from pathlib import Path

from ..options import Machine
from .options.groups import start
from .options.terminal import frame_as_text, tell


def run(
    *,
    images: Sequence[Path] = (),
    backbone: str = "RN50",
    clip_weights: str | None = None,
    device: str = "cpu",
) -> int:
    """Check whether your weights give the published scores.

    The published scores are those of OpenAI's RN50. Exit code: 0 all scores agree, 1 a score differs, 2 bad input,
    or a score of other weights differs.

    Args:
        images (PATH): I01.BMP, i01_01_5.bmp, or folders such as a checkout of piq, TID2013 or OSEDiff
        backbone (-b): CLIP model to check
        clip_weights (PATH|TAG): a checkpoint file, or an open_clip tag
        device (DEVICE): cpu, cuda, cuda:N or mps
    """
    place = start(Machine(device=device))
    from ...metric import CLIPIQA
    from ..verify import verify

    found = verify(lambda: CLIPIQA(backbone=backbone, clip_weights=clip_weights).to(place).eval(), images, device=place)
    print(f"Published, and measured here with {found.attrs['weights']}")
    print(frame_as_text(found))
    verdicts = set(found["verdict"])
    if "differs" in verdicts:
        tell(
            "the published scores hold for OpenAI's RN50 (RN50.pt, SHA-256 afeb0e10…) only; your weights "
            "are different, so a difference is not a failure."
        )
    return 2 if "differs" in verdicts else int("FAIL" in verdicts)
