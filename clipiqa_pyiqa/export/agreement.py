"""Whether an exported file says what its metric says, in onnxruntime."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..errors import CLIPIQAError

if TYPE_CHECKING:
    from .network import Network

OLDEST_RUNTIME = (1, 14)
"""The first onnxruntime that reads opset 18."""

SHAPES = ((1, 97, 131), (2, 64, 96), (3, 75, 65))
"""N, H, W of the images of the comparison: other ones than were traced, odd and even."""


def runtime_version() -> str | None:
    """The version of onnxruntime, or None if it is not installed.

    Raises:
        CLIPIQAError: it is too old for any file of ours.
    """
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if tuple(int(part) for part in found.split(".")[:2]) < OLDEST_RUNTIME:
            oldest = ".".join(map(str, OLDEST_RUNTIME))
            raise CLIPIQAError(
                f"onnxruntime {found} is too old to check the file: install {oldest} or a newer one, or export "
                "without the check."
            )
        return found
    return None


def difference(network: Network, path: Path) -> float:
    """The largest difference between file and metric, as a share of the range of scores; infinite for other shapes.

    Raises:
        CLIPIQAError: onnxruntime cannot read the file.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # of several kinds, which onnxruntime does not name in public
        said = str(error).splitlines()[0][:200]
        raise CLIPIQAError(
            f"onnxruntime {onnxruntime.__version__} cannot read the file ({said}): install a newer one, or export with "
            "a lower opset."
        ) from error
    largest = 0.0
    generator = torch.Generator().manual_seed(0)
    for count, height, width in SHAPES:
        smooth = torch.rand((count, 3, 6, 6), generator=generator)
        x = F.interpolate(smooth, size=(height, width), mode="bilinear")
        x = (x + 0.1 * torch.rand(x.shape, generator=generator)).clamp(0, 1)
        with torch.no_grad():
            expected = network.reference(x)
        for ours, theirs in zip(expected, session.run(None, {"image": x.numpy()}), strict=True):
            if ours.shape != theirs.shape:
                return float("inf")
            largest = max(largest, (ours - torch.from_numpy(theirs)).abs().max().item() / network.scale)
    return largest
