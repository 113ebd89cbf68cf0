"""What the documented Python API returns, one line per value; a script run in each checkout: ``api.py NAME``."""

import sys
from pathlib import Path

import pyiqa
import torch

INPUTS = Path("../../in")


def show(name, value):
    """Print a value; of a tensor up to a thousand numbers, evenly spread."""
    if isinstance(value, torch.Tensor):
        shape, value = tuple(value.shape), value.detach().flatten()
        value = f"{shape} {value.dtype} {[f'{v:.9g}' for v in value[:: 1 + len(value) // 1000].tolist()]}"
    print(f"{name}: {value}")


def photos(count=3, side=(224, 288)):
    """Photos as a batch, ``(N, 3, H, W)`` in [0, 1]."""
    from clipiqa_pyiqa.images.reader import read_image

    files = sorted((INPUTS / "photos").iterdir())[:count]
    images = [read_image(str(file)).pixels[None].float() / 255 for file in files]
    return torch.cat([torch.nn.functional.interpolate(image, side, mode="bilinear") for image in images])


def reading():
    from clipiqa_pyiqa.images.reader import read_image

    for path in sorted((INPUTS / "odd").iterdir()):
        try:
            show(path.name, read_image(str(path)).pixels)
        except ValueError as error:
            show(path.name, type(error).__name__)


def scores():
    for backbone, side in (("mini", (224, 288)), ("RN50", (96, 128))):
        x = photos(side=side)
        for options in (
            {}, {"prompts": "pyiqa"}, {"prompts": ["quality", ("Crisp photo.", "Hazy photo.")], "aggregate": None},
            {"template": "A photo of {}."}, *[{"pos_embedding": "interpolate"}] * (backbone == "RN50"),
        ):  # fmt: skip
            metric = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone, **options)
            show(f"{backbone} {options}", metric(x))
        net = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone).net
        features = net.encode_image(x)
        show(f"{backbone} features", features)
        asked = net.score(features, prompts=["happy", ("Crisp photo.", "Hazy photo.")], aggregate=None)
        show(f"{backbone} other questions", asked)
        for size in ((32, 32), (97, 131), *([(700, 500)] if backbone == "mini" else [])):
            show(f"{backbone} {size}", net.encode_image(photos(1, size)))
        show(f"{backbone} float64", net(x.double()))
        show(f"{backbone} from a path", metric(str(sorted((INPUTS / "few").iterdir())[0])))


def gradients():
    from clipiqa_pyiqa import CLIPIQALoss

    def gradient(name, criterion, x):
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
        gradient(f"{backbone} out of range", CLIPIQALoss(backbone=backbone, input_range=(-1, 1)), x * 2.2 - 1.1)
        metric = pyiqa.create_metric("clipiqa", backbone=backbone, device="cpu").net
        gradient(f"{backbone} features", lambda x, net=metric: net.encode_image(x), x)


def precisions():
    for backbone, precision in (("mini", "bf16"), ("mini", "fp16"), ("RN50", "bf16")):
        metric = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone, precision=precision)
        show(f"{backbone} {precision}", metric(photos(side=(96, 128))))


def learned():
    from clipiqa_pyiqa.prompts.files import save_prompt_file

    torch.manual_seed(0)
    metric = pyiqa.create_metric("clipiqa+", backbone="mini", pretrained=False, device="cpu").net
    for name, parameter in metric.named_parameters():
        show(name, parameter)
    for name in ("mine.pth", "mine.safetensors"):
        save_prompt_file(metric.prompt_learner, name)
        loaded = pyiqa.create_metric("clipiqa+", backbone="mini", pretrained_model_path=name, device="cpu")
        show(name, loaded(photos()))
        metric.load_prompts(name)
    show("state", sorted(metric.state_dict()))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
