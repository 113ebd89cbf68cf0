"""The file: tower, statistics, linear questions, hidden layer and projection, text tower with the words it knows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from .head import Basis, Head
from .text import TextTower
from .tower import CELL, EPS, HEAD, STAGES, STEM, load_imagenet

FORMAT = "clipiqa-mini/2"


def export(
    path: Path,
    basis: Basis,
    answers: np.ndarray,
    all_answers: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray],
    head: Head,
    text: TextTower,
    metadata: dict[str, object],
) -> None:
    """Write everything in fp16 but the statistics' mean and scale.

    Args:
        path: the `.safetensors` file.
        basis: from statistics to coordinates.
        answers: (P + 1, R) weights and constants of the linear questions about coordinates.
        all_answers: (S + 1, T), of those about all statistics.
        scale: mean and deviation of each of the R + T answers.
        head: the trained head.
        text: the trained text tower.
        metadata: beside format, architecture, prompts and token ids.
    """
    # ((z @ matrix) @ answers + constant - mean) / deviation, in float64
    asked = np.append(basis.matrix.double().numpy() @ answers[:-1], all_answers[:-1], 1)
    weight = torch.from_numpy(asked / scale[1]).T
    constant = torch.from_numpy((np.append(answers[-1], all_answers[-1]) - scale[0]) / scale[1])
    # a layer may be scaled if the next one is scaled back: keep fp16 far from its limits
    unit = weight.square().mean(1).sqrt() * 30
    hidden, bias = head.hidden.weight.detach().double() * unit, head.hidden.bias.detach().double()
    size = hidden.square().mean(1).sqrt()
    with torch.no_grad():
        proj, proj_bias = head.projection()
    tensors = {f"visual.{key}": value for key, value in load_imagenet().tensors.items()}
    tensors |= {
        "visual.statistics.mean": basis.mean, "visual.statistics.scale": basis.scale,
        "visual.answers.weight": weight / unit[:, None], "visual.answers.bias": constant / unit,
        "visual.hidden.weight": hidden / size[:, None], "visual.hidden.bias": bias / size,
        "visual.proj.weight": proj.double() * size, "visual.proj.bias": proj_bias,
        "logit_scale": torch.tensor(math.log(100.0)),
    } | dict(text.state_dict())  # fmt: skip
    stored = {
        key: value.float().contiguous() if "statistics" in key or key == "logit_scale" else value.half().contiguous()
        for key, value in tensors.items()
    }
    architecture = {"stages": STAGES, "stem": STEM, "head": HEAD, "statistics_eps": EPS, "cell": CELL,
                    "answers": len(weight), "hidden": len(hidden), "embed_dim": len(proj_bias)}  # fmt: skip
    more = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    about = {"format": FORMAT, "name": "mini", "architecture": json.dumps(architecture),
             "prompts": json.dumps(text.prompts), "token_ids": json.dumps(text.ids.tolist()),
             **more}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, path, metadata=about)
    path.chmod(0o644)  # safetensors writes for the owner only; a package is read by everyone
