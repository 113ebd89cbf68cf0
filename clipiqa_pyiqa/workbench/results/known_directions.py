"""Directions of well-known scores, by the name of a column."""

import re

LOWER_BETTER = (
    "lpips lpips-vgg lpips+ lpips-vgg+ stlpips stlpips-vgg dists deepdc gmsd nlpd mad piqe niqe niqe_matlab ilniqe "
    "brisque brisque_matlab pi pieapp msswd fid sfid fid_dinov2 afine_nr afine_fr afine_all_scale afine_all"
)
HIGHER_BETTER = (
    "ahiq ckdn ssim ssimc psnr psnry fsim ms_ssim vif vsi cw_ssim nrqm cnniqa musiq musiq-ava musiq-paq2piq "
    "musiq-spaq nima nima-koniq nima-spaq nima-vgg16-ava paq2piq dbcnn maniqa maniqa-pipal maniqa-kadid clipiqa "
    "clipiqa+ clipiqa+_vitL14_512 clipiqa+_rn50_512 fgresq fgresq_pair tres tres-flive hyperiqa metaiqa uranker "
    "clipscore entropy topiq_nr topiq_nr-flive topiq_nr-spaq topiq_nr-face topiq_nr_swin-face topiq_nr-face-v1 "
    "topiq_fr topiq_fr-pipal topiq_iaa topiq_iaa_res50 laion_aes liqe liqe_mix wadiqam_fr wadiqam_nr qalign "
    "qalign_8bit qalign_4bit qrealign qrealign-mini qrealign-lite qrealign-pro compare2score unique arniqa "
    "arniqa-live arniqa-csiq arniqa-tid arniqa-kadid arniqa-clive arniqa-flive arniqa-spaq dmm maclip qualiclip "
    "qualiclip+ qualiclip+-clive qualiclip+-flive qualiclip+-spaq inception_score"
)
"""Names of pyiqa's metrics, also for machines without pyiqa."""
_ALSO_LOWER = "lpips-alex lpips_alex lpips_vgg mse rmse mae l1 l2 error loss distance dmos kid fvd"
_ALSO_HIGHER = "psnr-y psnr_y psnr-rgb psnr_rgb ssim-y ssim_y ssim-rgb ssim_rgb mos vmaf"
"""Well-known scores that pyiqa does not have, or not under this name."""
_KNOWN = {
    **dict.fromkeys(f"{LOWER_BETTER} {_ALSO_LOWER}".lower().split(), True),
    **dict.fromkeys(f"{HIGHER_BETTER} {_ALSO_HIGHER}".lower().split(), False),
}


def direction_by_name(column: str) -> bool | None:
    """Return whether low scores are good, if an arrow at the end or the whole name tells; None otherwise."""
    name = column.lower().strip()
    if name.endswith("↓"):
        return True
    if name.endswith("↑"):
        return False
    return _KNOWN.get(name)


def known_word(column: str) -> str:
    """Return a known score's name that stands beside other words, as in ``ssim_loss``, or ``''``.

    The other words may turn its direction round.
    """
    if direction_by_name(column) is not None:
        return ""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column).lower()  # ssimLoss, SSIMLoss
    names = "|".join(re.escape(name) for name in sorted(_KNOWN, key=len, reverse=True))
    match = re.search(rf"(?<![a-z0-9])({names})(?![a-z0-9])", spaced)
    return match[1] if match else ""
