"""What the documented Python API returns, one line per value; a script run in each checkout: ``api.py NAME``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyiqa
import torch

INPUTS = Path("../../in")


def show(name: str, value: Any) -> None:
    """Print a value; of a tensor every bit, as a hash, and the first few numbers."""
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous()
        digest = hashlib.sha256(value.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]
        value = f"{tuple(value.shape)} {value.dtype} {digest} {[f'{v:.9g}' for v in value.flatten()[:4].tolist()]}"
    print(f"{name}: {value}")


def photos(count: int = 3, side: tuple[int, int] | None = None) -> torch.Tensor:
    """Photos as a batch, ``(N, 3, H, W)`` in [0, 1]."""
    from torch.nn.functional import interpolate

    from clipiqa_pyiqa.images.reader import read_image

    files = sorted((INPUTS / "photos").iterdir())[:count]
    images = [_pixels(read_image(str(file))) for file in files]
    return torch.cat([interpolate(image, side or (224, 288), mode="bilinear") for image in images])


def _pixels(image: Any) -> torch.Tensor:
    import numpy as np

    pixels = getattr(image, "pixels", image)
    tensor = pixels if isinstance(pixels, torch.Tensor) else torch.from_numpy(np.array(pixels))
    tensor = tensor if tensor.shape[0] == 3 else tensor.permute(2, 0, 1)
    return (tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor)[None]


def reading() -> None:
    from clipiqa_pyiqa.images.reader import read_image

    for path in sorted((INPUTS / "odd").iterdir()):
        try:
            show(path.name, _pixels(read_image(str(path))))
        except ValueError as error:
            show(path.name, f"{type(error).__name__}: {error}")


def scores() -> None:
    for backbone, side in (("mini", (224, 288)), ("RN50", (96, 128))):
        x = photos(side=side)
        for options in (
            {}, {"prompts": "pyiqa"}, {"prompts": ["quality", ("Crisp photo.", "Hazy photo.")], "aggregate": None},
            {"template": "A photo of {}."}, {"precision": "bf16"},
            {"pos_embedding": "interpolate"} if backbone == "RN50" else {"precision": "fp16"},
        ):  # fmt: skip
            metric = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone, **options)
            print(metric.net)
            show(f"{backbone} {options}", metric(x))
        net = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone).net
        features = net.encode_image(x)
        show(f"{backbone} features", features)
        asked = net.score(features, prompts=["happy", ("Crisp photo.", "Hazy photo.")], aggregate=None)
        show(f"{backbone} other questions", asked)
        for size in ((32, 32), (97, 131), *([(700, 500)] if backbone == "mini" else [])):
            show(f"{backbone} {size}", net.encode_image(photos(1, size)))
        show(f"{backbone} single", net(x[:1]))
        show(f"{backbone} float64", net(x.double()))
        show(f"{backbone} from a path", metric(str(sorted((INPUTS / "few").iterdir())[0])))


def gradients() -> None:
    from clipiqa_pyiqa import CLIPIQALoss

    def gradient(name: str, criterion: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> None:
        x = x.clone().requires_grad_()
        value = criterion(x)
        value.sum().backward()
        show(name, value)
        show(f"{name}, gradient", x.grad)

    for backbone, side in (("mini", (160, 224)), ("RN50", (64, 96))):
        x = photos(3, side)
        for dtype in (torch.float32, torch.float64):
            for form in ("linear", "nll", "margin") if backbone == "mini" else ("linear",):
                gradient(f"{backbone} {dtype} {form}", CLIPIQALoss(backbone=backbone, form=form), x.to(dtype))
            loss = CLIPIQALoss(
                backbone=backbone, prompts=["quality", "sharpness"], prompt_weights=[3, 1], reduction="none"
            )
            gradient(f"{backbone} {dtype} weighted", loss, x.to(dtype))
        gradient(f"{backbone} bf16", CLIPIQALoss(backbone=backbone, precision="bf16", loss_weight=0.1), x)
        gradient(f"{backbone} out of range", CLIPIQALoss(backbone=backbone, input_range=(-1, 1)), x * 2.2 - 1.1)
        gradient(
            f"{backbone} as_loss", pyiqa.create_metric("clipiqa", as_loss=True, backbone=backbone, device="cpu"), x
        )
        metric = pyiqa.create_metric("clipiqa", backbone=backbone, device="cpu").net
        gradient(f"{backbone} features", lambda x, net=metric: net.encode_image(x), x)


def learned() -> None:
    from clipiqa_pyiqa.prompt_files import save_prompt_file

    torch.manual_seed(0)
    metric = pyiqa.create_metric("clipiqa+", backbone="mini", pretrained=False, device="cpu").net
    for name, parameter in metric.named_parameters():
        show(name, parameter)
    for name in ("mine.pth", "mine.safetensors"):
        save_prompt_file(metric.prompt_learner, name)
        loaded = pyiqa.create_metric("clipiqa+", backbone="mini", pretrained_model_path=name, device="cpu")
        print(loaded.net)
        show(name, loaded(photos()))
        metric.load_prompts(name)
    show("state", sorted(metric.state_dict()))


def folders() -> None:
    from clipiqa_pyiqa.result_files import read_results

    from clipiqa_pyiqa.scoring.score import score_paths

    metric = pyiqa.create_metric(
        "clipiqa", backbone="mini", prompts=["quality", "sharpness"], aggregate=None, device="cpu"
    )
    paths = [str(path) for path in sorted((INPUTS / "few").iterdir())] + ["nowhere.jpg"]
    for row in score_paths(metric, paths, max_side=200):
        show(row.path, row.error or (*row.scores, row.width, row.height, row.scored_width, row.scored_height))
    for path in sorted(Path("..").glob("score-*/scores.*")):
        if path.suffix in (".csv", ".jsonl", ".parquet"):
            header, rows = read_results(path)
            show(str(path), (header.columns, len(rows), rows[0]))


def mistakes() -> None:
    from clipiqa_pyiqa import CLIPIQALoss

    net = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu").net
    for name, call in {
        "prompt": lambda: pyiqa.create_metric("clipiqa", backbone="mini", prompts="sharpnes"),
        "one-sided": lambda: pyiqa.create_metric("clipiqa", backbone="mini", prompts=("Good.", "")),
        "backbone": lambda: pyiqa.create_metric("clipiqa", backbone="RN51"),
        "weights": lambda: pyiqa.create_metric("clipiqa", clip_weights="/nowhere.pt"),
        "precision": lambda: pyiqa.create_metric("clipiqa", backbone="mini", precision="int8"),
        "shape": lambda: net(torch.rand(3, 64, 64)),
        "small": lambda: net(torch.rand(1, 3, 16, 64)),
        "dtype": lambda: net(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)),
        "NaN": lambda: net(torch.full((1, 3, 64, 64), float("nan"))),
        "loss form": lambda: CLIPIQALoss(backbone="mini", form="square"),
        "prompt file": lambda: net.load_prompts("/nowhere.safetensors"),
    }.items():
        try:
            show(name, call())
        except Exception as error:  # what any of them raises is what is compared
            show(name, f"{[kind.__name__ for kind in type(error).__mro__]}: {error}")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
