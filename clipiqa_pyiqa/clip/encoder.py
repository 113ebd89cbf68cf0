"""What the image network of every kind of tower can do."""

from typing import Literal, Protocol

from torch import Tensor

Part = Literal["image", "places"]
"""The part of an image that is encoded: the whole image, or each place (cell) of it."""


class Encoder(Protocol):
    """A frozen image network."""

    group_factor: int
    """How many times as many pixels as usual pass it at once on a CPU."""

    has_normalisation: bool
    """Whether it normalises pixels in [0, 1] itself; if not, the caller does."""

    def encode(self, x: Tensor, pos_embedding: str, *parts: Part) -> list[Tensor]:
        """Return the features of each part, not normalised: ``'image'`` ``(N, D)``, ``'places'`` ``(N, D, h, w)``.

        A network without a positional embedding ignores ``pos_embedding``, ``'none'`` or ``'interpolate'``.
        """

    def encode_stages(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, Tensor]:
        """Return features ``(N, D)`` of images, and statistics of the network's stages, ``(N, K)``."""
