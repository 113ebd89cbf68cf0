"""QualiCLIP: seven pairs of texts, also with learned contexts, on a fine-tuned tower."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import FilePath
from ..clip.threads import one_thread
from ..clip.tokenizer import tokenize
from ..clip.tracing import untraced
from ..errors import CLIPIQAError, WeightsError
from ..files import remembered_sha256
from ..prompts.antonym import antonym_scores
from ..prompts.files import read_prompt_file
from ..prompts.learned import woven
from ..weights.metric_files import pyiqa_file
from ..weights.obtaining import obtained_file
from .base import WHOLE, FamilyMetric

TEMPERATURE = 2.0
TEXTS = (
    "Good photo.",
    "Bad photo.",
    "Sharp image.",
    "Blurry image.",
    "Sharp edges.",
    "Blurry edges.",
    "High-resolution image.",
    "Low-resolution image.",
    "Noise-free image.",
    "Noisy image.",
    "High-quality image.",
    "Low-quality image.",
    "Good picture.",
    "Bad picture.",
)
LEARNED = {
    "qualiclip+": "QualiCLIP+_koniq.pth",
    "qualiclip+-clive": "QualiCLIP+_clive.pth",
    "qualiclip+-flive": "QualiCLIP+_flive.pth",
    "qualiclip+-spaq": "QualiCLIP+_spaq.pth",
}


class QualiCLIP(FamilyMetric):
    """pyiqa's ``qualiclip`` and ``qualiclip+…`` (Agnolucci et al., arXiv 2403.11176).

    ``pretrained_model_path`` is a file with learned prompts of ``qualiclip+…``.
    """

    model_type = "qualiclip"
    further_types = tuple(LEARNED)
    backbone = "RN50"
    view = WHOLE
    tower_file = "QualiCLIP.pth"

    def __init__(
        self, model_type: str | None = None, backbone: str | None = None, pretrained: bool = True, **options: Any
    ):
        if not pretrained:  # pyiqa's configurations of qualiclip+… pass True
            raise CLIPIQAError("QualiCLIP has no random weights to begin with: leave `pretrained` out.")
        super().__init__(model_type, backbone, **options)

    @property
    def has_own_file(self) -> bool:
        return self.model_type in LEARNED

    def load(self, path: FilePath | None) -> None:
        if not self.has_own_file:
            self._published_texts = self._texts_in_tower_file()
            return
        self._encoded_texts: dict[torch.dtype, Tensor] = {}  # by the dtype of image features
        published = pyiqa_file(LEARNED[self.model_type])
        file = obtained_file(published).path if path is None else Path(path).expanduser()
        self._embeddings, self._end_places = self._read_learned(file)
        self.file = {"file": file.name, "file_sha256": remembered_sha256(file)}

    def _texts_in_tower_file(self) -> Tensor:
        """Return the text features of ``TEXTS`` that QualiCLIP.pth holds beside its tower."""
        checkpoint = self.clip.checkpoint
        if checkpoint.shapes.get("prompts_features") != (len(TEXTS), self.clip.width):
            raise WeightsError(
                f"{checkpoint.path} has no prompts_features, so it is not QualiCLIP.pth: pass QualiCLIP.pth."
            )
        return checkpoint["prompts_features"].double()

    def answer(self, features: Tensor) -> Tensor:
        texts = self._learned_texts(features.dtype) if self.has_own_file else self._published_texts
        pairs = F.normalize(texts, dim=-1).unflatten(0, (-1, 2))
        return antonym_scores(features, pairs.to(features), self.clip.logit_scale / TEMPERATURE).mean(-1)

    def _learned_texts(self, dtype: torch.dtype) -> Tensor:
        """Return the features of learned prompts, not normalised; each dtype is encoded once."""
        if dtype not in self._encoded_texts:
            with untraced(), one_thread():
                tower = self.clip.text_tower(torch.device("cpu"), dtype)
                self._encoded_texts[dtype] = tower.encode(self._embeddings.to(dtype), self._end_places)
        return self._encoded_texts[dtype]

    def _read_learned(self, path: Path) -> tuple[Tensor, Tensor]:
        """Return the embeddings of ``TEXTS`` with a file's contexts, ``(P, L, dim)``, and the places of their ends."""
        length, width = self.clip.checkpoint.shapes["positional_embedding"]
        state, _ = read_prompt_file(path)
        tensors = [tensor.float() for tensor in state.values()]
        n_ctx = tensors[0].numel() // (len(TEXTS) * width)
        expected_shapes = [(len(TEXTS), rows, width) for rows in (n_ctx, 1, length - 1 - n_ctx)]
        if [tensor.shape for tensor in tensors] != expected_shapes:
            raise WeightsError(f"{path} holds no learned prompts of {self.model_type}: pass a file with its prompts.")
        ctx, prefix, suffix = tensors
        end_places = tokenize(TEXTS, length).argmax(1)  # without a context; the end token has the highest id
        return woven(ctx, prefix, suffix, (end_places - 1).tolist()), end_places + n_ctx
