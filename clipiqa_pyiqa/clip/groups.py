"""How many images of a batch pass a tower at once."""

from torch import Tensor

from .gradient import needs_gradient
from .tracing import is_traced

GPU_GROUP_PIXELS = 1 << 22
"""Pixels per group on a GPU: sixteen images of 512×512. The value was not measured on a GPU."""

CPU_GROUP_PIXELS = 1 << 18
"""Pixels per group on a CPU; a larger image is a group alone. The value suits the cache of a CPU."""

CPU_SHARED_PIXELS = 224 * 224
"""From so many pixels, an image's score in a group is its score alone to the last bit; below, both differ by 1e-6."""


def groups(x: Tensor, times: int = 1) -> tuple[Tensor, ...]:
    """Return a batch split into groups, one per pass; ``times`` enlarges a group on the CPU.

    On a CPU without a gradient, each small image is a group, so that its score does not depend on the batch.
    """
    if is_traced():
        return (x,)
    pixels = x.shape[-2] * x.shape[-1]
    if x.device.type == "cpu" and pixels < CPU_SHARED_PIXELS and not needs_gradient(x):
        return x.split(1)
    group_pixels = times * CPU_GROUP_PIXELS if x.device.type == "cpu" else GPU_GROUP_PIXELS
    return x.split(max(1, group_pixels // pixels))
