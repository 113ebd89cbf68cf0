"""``clipiqa weights``: list or download checkpoints."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from .options.console_tables import rows_as_text
from .options.groups import Settings


def run(
    *,
    backbone: Annotated[Sequence[str], Parameter(alias="-b", metavar="NAME[:TAG]")] = (),
    prompt_files: bool = False,
    download: bool = False,
    settings: Settings = Settings(),
) -> int:
    """Show the source of every checkpoint, or download checkpoints.

    Only --download downloads files; they are stored in the caches. Exit code: 0 all is there, 1 a file is damaged,
    could not be downloaded, or is named here and missing while HF_HUB_OFFLINE is set, 2 bad input.

    examples:
      clipiqa weights
      clipiqa weights --download --backbone RN50 --prompt-files

    Args:
        backbone: list only these backbones, such as RN50 or ViT-B/32:laion2b_s34b_b79k
        prompt_files: list only pyiqa's files: prompts, a head and two metrics' towers; with --backbone, list these too
        download: download missing files
    """
    from ...weights.at_hand import weights_at_hand

    files = list(weights_at_hand(backbone, prompts=prompt_files, download=download))
    rows = [("FILE", "STATE", "SIZE", "SHA-256", "WHERE")]
    for file in files:
        size = "-" if file.size is None else f"{file.size / 1e6:.1f} MB"
        rows.append((file.title, file.state, size, file.sha256[:12] or "-", file.where))
    print(rows_as_text(rows))
    bad_states = {"damaged", "failed"}
    if backbone or prompt_files:
        bad_states.add("missing (offline)")
    return 1 if any(file.state in bad_states for file in files) else 0
