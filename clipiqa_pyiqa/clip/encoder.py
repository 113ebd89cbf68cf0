"""What the image network of every kind of tower can do."""

from typing import Literal, Protocol

from torch import Tensor

Part = Literal["image", "places"]
"""The part of an image that is encoded: the whole image, or each place (cell) of it."""


class Encoder(Protocol):
    """A frozen image network."""

    group_factor: int
    """How many times as many pixels as usual pass it at once on a CPU."""

    normalises_pixels: bool
    """Whether it takes pixels in [0, 1], or pixels that the caller has normalised."""

    has_positions: bool
    """Whether it has a positional embedding."""

    def encode(self, x: Tensor, pos_embedding: str, *parts: Part) -> list[Tensor]:
        """Return the features of each part, not normalised: ``'image'`` ``(N, D)``, ``'places'`` ``(N, D, h, w)``."""

    def encode_stages(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, Tensor]:
        """Return features ``(N, D)`` of images, and statistics of the network's stages, ``(N, K)``."""
