"""What the documented Python API returns, one line per value; a script run in each checkout: ``api.py NAME``."""

import sys
from pathlib import Path

import pyiqa
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQALoss

INPUTS = Path("../../in")
PAIR = ("Crisp photo.", "Hazy photo.")


def show(name, value):
    """Print a tensor's shape, type and up to a thousand numbers, evenly spread."""
    shown = value.detach().flatten()[:: 1 + value.numel() // 1000].tolist()
    print(f"{name}: {tuple(value.shape)} {value.dtype} {[f'{number:.9g}' for number in shown]}")


def photos(count, *side):
    """Return photos as a batch, ``(N, 3, H, W)`` in [0, 1]."""
    files = sorted((INPUTS / "photos").iterdir())[:count]
    images = [pil_to_tensor(Image.open(file).convert("RGB"))[None] / 255 for file in files]
    return torch.cat([torch.nn.functional.interpolate(image, side, mode="bilinear") for image in images])


def scores():
    for backbone, side in (("mini", (224, 288)), ("RN50", (96, 128))):
        x = photos(3, *side)
        for options in (
            {},
            {"prompts": "pyiqa"},
            {"prompts": ["quality", PAIR], "aggregate": None},
            {"template": "A photo of {}."},
        ):
            metric = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone, **options)
            show(f"{backbone} {options}", metric(x))
        net = metric.net
        show(f"{backbone} features", net.encode_image(x))
        show(f"{backbone} other questions", net.score(net.encode_image(x), prompts=["happy", PAIR], aggregate=None))
        for size in ((32, 32), (97, 131)):
            show(f"{backbone} {size}", net.encode_image(photos(1, *size)))
        show(f"{backbone} float64", net(x.double()))
        show(f"{backbone} from a path", metric(str(min((INPUTS / "few").iterdir()))))


def gradients():
    for backbone, side in (("mini", (160, 224)), ("RN50", (64, 96))):
        x = photos(3, *side)
        weighted = {"prompts": ["quality", "sharpness"], "prompt_weights": [3, 1], "reduction": "none"}
        for options in ({}, {"form": "nll"}, {"form": "margin"}, weighted, {"input_range": (-1, 1)}):
            for dtype in (torch.float32, torch.float64):
                leaf = x.to(dtype).requires_grad_()
                value = CLIPIQALoss(backbone=backbone, **options)(leaf)
                value.sum().backward()
                show(f"{backbone} {options}", value)
                show(f"{backbone} {options}, gradient", leaf.grad)


def exported():
    """Print what the files of the cases of ``export`` answer in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for file in sorted(Path("..").glob("export-*/*.onnx")):
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        for count, side in ((1, (97, 131)), (3, (160, 224))):
            answers = session.run(names, {"image": photos(count, *side).numpy()})
            for name, answer in zip(names, answers, strict=True):
                show(f"{file} {side} {name}", torch.from_numpy(answer))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
