"""The text tower, trained first and on nothing but words: each wording of a question lands on the question's direction.

The directions are drawn beforehand (`directions`), so that no photo is needed; the image side is trained to them.
"""

from __future__ import annotations

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn

from .words import AXES, prompts_of

CONTEXT = 77
BASE, ASKED, OWN = 0.2, 0.5, (1 - 0.2**2 - 0.5**2) ** 0.5


class Directions:
    """An orthonormal frame of the embedding: what every photo shares, one direction per axis, two per axis for words.

    A text is `BASE * common + ASKED * (+-asked) + OWN * own`, of unit length.
    """

    def __init__(self, dim: int, seed: int) -> None:
        frame = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed))).Q.T
        count = len(AXES)
        self.common, self.asked = frame[0], frame[1 : 1 + count]  # (D,), (axes, D)
        own = frame[1 + count : 1 + 3 * count].view(count, 2, dim)
        self.free = frame[1 + 3 * count :]
        signs = torch.tensor([1.0, -1.0]).view(1, 2, 1)
        self.texts = BASE * self.common + ASKED * signs * self.asked[:, None] + OWN * own  # (axes, 2, D)


class TextTower(nn.Module):
    """CLIP's text tower under OpenAI's names, with a token table of the words it knows only."""

    def __init__(self, width: int, layers: int, dim: int) -> None:
        super().__init__()
        self.prompts = {axis: prompts_of(axis) for axis in AXES}
        texts = [text for pair in self.prompts.values() for side in pair for text in side]
        tokens = open_clip.tokenize(texts)
        self.ids = torch.unique(tokens)[1:]  # without the filler 0
        self.token_embedding = nn.Embedding(len(self.ids), width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(CONTEXT, width))
        self.transformer = Transformer(width, layers, width // 64, act_layer=QuickGELU)
        self.ln_final = LayerNorm(width)
        self.text_projection = nn.Parameter(width**-0.5 * torch.randn(width, dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.tokens = torch.searchsorted(self.ids, tokens.clamp(min=int(self.ids[0])))
        self.ends = tokens.argmax(-1)
        axis = [k for k, pair in enumerate(self.prompts.values()) for side in pair for _ in side]
        sign = [s for pair in self.prompts.values() for s, side in enumerate(pair) for _ in side]
        self.axis, self.sign = torch.tensor(axis), torch.tensor(sign)
        self.canonical = torch.tensor([texts.index(side[0]) for pair in self.prompts.values() for side in pair])

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of the training prompts to (P, D), unit length."""
        ends = self.ends[rows]
        length = int(ends.max()) + 1
        x = self.token_embedding(self.tokens[rows, :length]) + self.positional_embedding[:length]
        mask = torch.full((length, length), float("-inf")).triu_(1)
        x = self.ln_final(self.transformer(x, attn_mask=mask))
        return F.normalize(x[torch.arange(len(x)), ends] @ self.text_projection, dim=-1)


def train_text(tower: TextTower, directions: Directions, steps: int, batch: int, rate: float, seed: int) -> None:
    """Bring every prompt to its direction; errors along what photos share or are asked count most."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.cat([directions.common[None], 0.05 * directions.asked])
    optimizer = torch.optim.AdamW(tower.parameters(), lr=rate, weight_decay=1e-4)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50, 1.2 * (1 - step / steps))
        rows = torch.cat([tower.canonical, torch.randint(len(tower.axis), (batch,), generator=generator)])
        rows = rows[tower.ends[rows].argsort()]
        error = tower(rows) - directions.texts[tower.axis[rows], tower.sign[rows]]
        loss = error.square().sum(-1).mean() + 10 * (error @ seen.T).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 200 == 0:
            print(f"text step {step + 1}  loss {loss.item():.5f}", flush=True)
