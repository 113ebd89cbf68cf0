"""A published file: what is known of it before it is found."""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class PublishedFile:
    """A published file: content, names, hashes, places and sources."""

    title: str  # such as 'RN50 (openai)'
    names: tuple[str, ...]  # in a folder of weights and in caches, best first
    caches: tuple[Path, ...]  # folders; downloads from `urls` go to the last folder
    urls: tuple[str, ...] = ()  # addresses of the file with `sha256`, best first
    sha256: str = ""  # all digits, or the first eight, or empty if the hash is unknown
    hub: str = ""  # repository on the hub
    hub_names: tuple[str, ...] = ()  # names of the file in the repository, best first
    revision: str = ""  # of the repository; empty for `main`
    hub_sha256: str = ""  # of the first file of `hub_names` at `revision`
    backbone: str = ""  # of the CLIP in the file; empty for a file without a CLIP
    tag: str = ""  # under which the CLIP was published
    quick_gelu: bool = True  # whether its transformers use QuickGELU, x * sigmoid(1.702 x), instead of GELU
    mean: tuple[float, float, float] = OPENAI_MEAN  # of each channel of the training pixels in [0, 1]
    std: tuple[float, float, float] = OPENAI_STD

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes of good copies, or their first digits; none if they are unknown."""
        return tuple(filter(None, (self.sha256, self.hub_sha256)))

    @property
    def hub_folder(self) -> Path:
        """The folder of the repository in the hub's cache."""
        return Path(constants.HF_HUB_CACHE, f"models--{self.hub.replace('/', '--')}")

    def hub_hash(self, name: str, blob: str) -> str:
        """Return the SHA-256 of a file of the repository, or ''; the hub names large blobs by it."""
        known = self.hub_sha256 if name == self.hub_names[0] else ""
        return known or (blob if re.fullmatch("[0-9a-f]{64}", blob) else "")
