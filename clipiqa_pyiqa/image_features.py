"""How CLIP-IQA encodes images: whole, by places, and with the stages of the tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from .errors import CLIPIQAError
from .prompts.antonym import margins
from .prompts.head import OpinionHead
from .tower_metric import TowerMetric

PosEmbedding = bool | Literal["none", "interpolate", "fixed"] | None

POS_EMBEDDINGS: dict[PosEmbedding, str] = {
    False: "none",
    None: "none",
    "none": "none",
    True: "interpolate",
    "interpolate": "interpolate",
    "fixed": "fixed",
}


class ImageEncoder(TowerMetric):
    """A metric whose positional embedding is an option; a head may need the stages of the tower."""

    pos_embedding: str
    head: OpinionHead | None

    @property
    def has_fixed_input(self) -> bool:
        return self.pos_embedding == "fixed"

    def encode_map(self, x: Tensor) -> Tensor:
        """Return unit features ``(N, D, h, w)`` of places, for :meth:`score`.

        A place is a position in a ResNet's last map, a 32 px cell with its neighbours (``mini``), or a ViT's patch.

        Raises:
            CLIPIQAError: ``pos_embedding`` is ``'fixed'``.
        """
        return self.encode_with_map(x, ("places",))[0]

    def encode_with_map(self, x: Tensor, parts: Sequence[str] = ("image", "places")) -> list[Tensor]:
        """Return :meth:`encode_image` (without stages) and :meth:`encode_map` from one pass."""
        self.check_map()
        self.check(x)
        return self._image_tower(x).encode(x, self.pos_embedding, *parts)

    def check_map(self) -> None:
        """Raise unless the tower sees whole images."""
        if self.has_fixed_input:
            raise CLIPIQAError(
                "pos_embedding must be 'none' or 'interpolate' for a map; got 'fixed', which crops images.",
                options=("pos_embedding",),
            )

    def encode_stages(self, x: Tensor) -> Tensor:
        """Return image features and statistics of the tower's stages, ``(N, D + K)``."""
        self.check(x)
        return self._image_tower(x).encode_stages(x, self.pos_embedding)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        tower = self._image_tower(x)
        encode = tower.encode_stages if self.head and self.head.is_on_stages else tower
        return encode(x, self.pos_embedding)

    def margins_unchecked(self, x: Tensor, texts: Tensor, local: bool) -> Tensor:
        """Return margins ``(N, K, P)`` of K places, or of whole images (K = 1); ``texts``: ``(P, 2, D)``."""
        if local:
            places = self._image_tower(x).encode(x, self.pos_embedding, "places")[0]
            features = places.flatten(2).transpose(1, 2).contiguous()  # (N, D, h, w) -> (N, h w, D)
        else:
            features = self.encode_unchecked(x)[:, None]
        return margins(features, texts.to(x.device), self.clip.logit_scale)

    def check_positions(self) -> None:
        """Raise if 'interpolate' is asked of a tower without a positional embedding."""
        if self.pos_embedding == "interpolate" and not self.clip.has_positions:
            raise CLIPIQAError(
                f"pos_embedding must be 'none' or 'fixed' for {self.clip.weights.backbone}, which has no "
                "positional embedding; got 'interpolate'.",
                options=("pos_embedding",),
            )
