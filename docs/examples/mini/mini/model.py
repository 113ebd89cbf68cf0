"""The network: open_clip's CLIP in small, run the way CLIP-IQA runs it, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class MiniCLIP(nn.Module):
    """A ResNet CLIP whose image tower takes any size: no positional embedding in the attention pool (CLIP-IQA, 3.2).

    `clip` holds the parameters under OpenAI's names. While training, `words` stands in for the rows of the token table
    that the prompts use, so that the optimiser does not carry the 49408 others.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, *, width: int, layers: list[int], embed_dim: int, text_width: int, text_layers: int) -> None:
        super().__init__()
        self.clip = open_clip.CLIP(
            embed_dim,
            CLIPVisionCfg(layers=tuple(layers), width=width, image_size=224),
            CLIPTextCfg(width=text_width, heads=text_width // 64, layers=text_layers),
            quick_gelu=True,
        )
        see_fine_structure(self.clip.visual.conv1)
        self.clip.visual.attnpool.positional_embedding.data.zero_()
        self.clip.visual.attnpool.positional_embedding.requires_grad_(False)
        self.clip.token_embedding.requires_grad_(False)
        # CLIP's own final scale, 100: a score is softmax over 100 times the cosines.
        self.clip.logit_scale.data.fill_(torch.tensor(100.0).log().item())
        self.clip.logit_scale.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, D), unit length."""
        visual = self.clip.visual
        x = visual.stem((x - self.mean) / self.std)
        x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))
        tokens = x.flatten(2).permute(2, 0, 1)  # (N, C, H, W) -> (HW, N, C)
        query = tokens.mean(0, keepdim=True)
        tokens = torch.cat([query, tokens])
        pool = visual.attnpool
        pooled, _ = F.multi_head_attention_forward(
            query, tokens, tokens, tokens.shape[-1], pool.num_heads,
            in_proj_weight=None,
            in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
            bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
            out_proj_weight=pool.c_proj.weight, out_proj_bias=pool.c_proj.bias,
            training=self.training, need_weights=False, use_separate_proj_weight=True,
            q_proj_weight=pool.q_proj.weight, k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
        )  # fmt: skip
        return F.normalize(pooled[0], dim=-1)

    def encode_tokens(self, tokens: torch.Tensor, table: torch.Tensor | None = None) -> torch.Tensor:
        """(P, L) token ids, 0 after the end -> (P, D), unit length. `table`: rows to use instead of the token table."""
        clip = self.clip
        ends = tokens.argmax(-1)
        length = int(ends.max()) + 1
        tokens = tokens[:, :length]
        x = F.embedding(tokens, clip.token_embedding.weight if table is None else table)
        x = x + clip.positional_embedding[:length]
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask[:length, :length]))
        return F.normalize(x[torch.arange(len(x)), ends] @ clip.text_projection, dim=-1)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        """Prompts -> (P, D), unit length."""
        return self.encode_tokens(open_clip.tokenize(texts))

    def scores(self, x: torch.Tensor, pairs: list[tuple[str, str]]) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, P): how much closer to the first text of each pair than to the second."""
        image, scale = self.encode_image(x), self.clip.logit_scale.exp()
        text = self.encode_text([text for pair in pairs for text in pair]).view(len(pairs), 2, -1)
        return (scale * image @ (text[:, 0] - text[:, 1]).T).sigmoid()


def see_fine_structure(conv: nn.Conv2d) -> None:
    """Start the first convolution from colours and differences of neighbours instead of at random.

    JPEG's block edges, grain and blur are a hundredth of a photo's variance; BatchNorm brings differences up to the
    size of everything else, so that they are learned in minutes.
    """
    grey, red_green, blue_yellow = (1 / 3, 1 / 3, 1 / 3), (0.7, -0.7, 0.0), (-0.4, -0.4, 0.8)
    mean = [[1 / 9] * 3] * 3
    across, across_next = [[0, 0, 0], [-1, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, -1, 1], [0, 0, 0]]
    down, down_next = ([list(row) for row in zip(*kernel, strict=True)] for kernel in (across, across_next))
    checks = [[0.5, -1, 0.5], [-1, 2, -1], [0.5, -1, 0.5]]
    kernels = [
        *(
            torch.einsum("c,hw->chw", torch.tensor(colour), torch.tensor(mean))
            for colour in (grey, red_green, blue_yellow)
        ),
        *(
            torch.einsum("c,hw->chw", torch.tensor(grey), torch.tensor(kernel, dtype=torch.float32))
            for kernel in (across, across_next, down, down_next, checks)
        ),
    ]
    with torch.no_grad():
        for i, weight in enumerate(conv.weight):
            weight.mul_(0.1).add_(kernels[i % len(kernels)])


def save(model: MiniCLIP, path: Path, metadata: dict[str, object]) -> None:
    """Write OpenAI's keys in fp16, with the recipe and the words as metadata (JSON where not a string)."""
    tensors = {
        key: value.half() if value.is_floating_point() else value for key, value in model.clip.state_dict().items()
    }
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata=text)
    path.chmod(0o644)  # safetensors writes for the owner only; a package is read by everyone


def load(path: Path) -> MiniCLIP:
    """Read a file that `save` wrote, in fp32, ready to score."""
    with safe_open(path, "pt") as file:
        architecture = json.loads(file.metadata()["architecture"])
        state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    model = MiniCLIP(**architecture)
    model.clip.load_state_dict(state)
    return model.eval().requires_grad_(False)


def fold_batchnorm(model: MiniCLIP) -> MiniCLIP:
    """The same function with every BatchNorm of the image tower inside its convolution, as the metric runs it."""
    pairs = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))
    for module in list(model.clip.visual.modules()):
        children = dict(module.named_children())
        for conv, norm in pairs:
            if isinstance(children.get(conv), nn.Conv2d) and isinstance(children.get(norm), nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(children[conv], children[norm]))
                setattr(module, norm, nn.Identity())
    return model
