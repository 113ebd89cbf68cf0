"""``clipiqa verify``: check whether weights give the published scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..options import Machine
from .options.console_tables import frame_as_text
from .options.groups import Settings
from .options.messages import tell
from .options.running import start


def run(
    *,
    images: Sequence[Path] = (),
    backbone: Annotated[str, Parameter(alias="-b")] = "RN50",
    clip_weights: Annotated[str | None, Parameter(metavar="PATH|TAG")] = None,
    device: str = "cpu",
    settings: Settings = Settings(),
) -> int:
    """Check whether your weights give the published scores.

    The published scores are those of OpenAI's RN50. Exit code: 0 all scores agree, 1 a score differs, 2 bad input,
    or weights that cannot be verified, as they are not OpenAI's and a score differs.

    examples:
      clipiqa verify
      clipiqa verify --images piq/tests/assets

    Args:
        images: I01.BMP, i01_01_5.bmp, or folders such as a checkout of piq, TID2013 or OSEDiff
        backbone: CLIP model to check
        clip_weights: a checkpoint file, or an open_clip tag
        device: cpu, cuda, cuda:N or mps
    """
    place = start(Machine(device=device))
    from ...metric import CLIPIQA
    from ..verify import verify

    measured = verify(
        lambda: CLIPIQA(backbone=backbone, clip_weights=clip_weights).to(place).eval(), images, device=place
    )
    print(f"Published, and measured here with {measured.attrs['weights']}")
    print(frame_as_text(measured))
    verdicts = set(measured["verdict"])
    if "differs" in verdicts:
        tell(
            "these weights cannot be verified: the published scores are those of OpenAI's RN50 (RN50.pt, SHA-256 "
            "afeb0e10…), and your weights are different."
        )
        return 2
    return 1 if "FAIL" in verdicts else 0
