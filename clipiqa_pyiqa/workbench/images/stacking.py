"""Images of equal size as one batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def stacked(pixels: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return images ``(3, H, W)``, uint8 or in [0, 1], as one fp32 batch ``(N, 3, H, W)`` in [0, 1]."""
    if len(pixels) == 1 and device.type == "cpu" and pixels[0].dtype == torch.uint8:  # NumPy's memory has huge pages
        only = pixels[0].permute(1, 2, 0).numpy()[None].astype(np.float32)
        only /= 255
        return torch.from_numpy(only).permute(0, 3, 1, 2)
    if any(image.is_floating_point() for image in pixels):
        pixels = [image if image.is_floating_point() else image.float().div_(255) for image in pixels]
    # (3, H, W) views of (H, W, 3) memory -> (N, 3, H, W) in channels_last, as towers need it
    x = torch.stack([image.permute(1, 2, 0) for image in pixels]).permute(0, 3, 1, 2).to(device)
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()
