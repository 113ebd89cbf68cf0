"""What the documented Python API returns, one line per value; a script run in each checkout: ``api.py NAME``."""

import os
import sys
from pathlib import Path

import pyiqa
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQALoss, CLIPIQAReward, Scorer, quality_map, score_images
from clipiqa_pyiqa.torchmetrics import CLIPImageQualityAssessment

INPUTS = Path("../../in")
PAIR = ("Crisp photo.", "Hazy photo.")


def show(name, value):
    """Print a tensor's shape, type and up to a thousand numbers, evenly spread."""
    shown = value.detach().flatten()[:: 1 + value.numel() // 1000].tolist()
    print(f"{name}: {tuple(value.shape)} {value.dtype} {[f'{number:.9g}' for number in shown]}")


def show_gradient(name, loss, leaf, *more):
    """Print a loss, its largest slope, and all slopes as shares of that: single slopes of RN50 are tiny."""
    value = loss(leaf, *more)
    value.sum().backward()
    largest = leaf.grad[leaf.grad.isfinite()].abs().max()
    show(name, value)
    show(f"{name}, largest slope", largest)
    show(f"{name}, gradient", leaf.grad / largest)


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
    weighted = {"prompts": ["quality", "sharpness"], "prompt_weights": [3, 1], "reduction": "none"}
    options = [{}, {"form": "nll"}, {"form": "margin"}, weighted, {"input_range": (-1, 1)}, {"local": True}]
    for backbone, side in (("mini", (160, 224)), ("RN50", (64, 96)), ("ViT-B/32", (64, 96))):
        x = photos(3, *side)
        for each in options:
            for dtype in (torch.float32, torch.float64):
                loss = CLIPIQALoss(backbone=backbone, **each)
                show_gradient(f"{backbone} {each} {dtype}", loss, x.to(dtype).requires_grad_())


def shares():
    """The loss beside a pixel loss, with local scores, and with an image that is not finite."""
    x = photos(3, 96, 128).double()
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    for options in (
        {"share": 0.3, "beside": "l1"},
        {"share": 1.0, "beside": "mse", "form": "nll"},
        {"share": 0.3, "beside": "l1", "local": True},
    ):
        criterion = CLIPIQALoss(backbone="mini", **options)
        for step in range(3):
            show_gradient(f"{options} {step}", criterion, (blurred + 0.01 * step).requires_grad_(), x)
            print(f"{options} {step}, weight: {float(criterion.last_weight):.9g}")
    broken = x.clone()
    broken[1, 0, 0, 0] = torch.nan
    for options in ({}, {"local": True}):
        criterion = CLIPIQALoss(backbone="mini", nan="propagate", reduction="none", **options)
        show_gradient(f"nan {options}", criterion, broken.clone().requires_grad_())


def towers():
    """A ViT at each kind of positional embedding, and an RN50."""
    for backbone, side in (("ViT-B/32", (96, 160)), ("RN50", (96, 160))):
        x = photos(2, *side)
        for position in ("none", "interpolate", "fixed"):
            net = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone, pos_embedding=position).net
            show(f"{backbone} {position} features", net.encode_image(x))
            show(f"{backbone} {position} float64", net(x.double(), prompts=["quality", PAIR], aggregate=None))


def maps():
    for backbone, side in (("mini", (160, 224)), ("RN50", (96, 128)), ("ViT-B/32", (96, 128))):
        net = pyiqa.create_metric("clipiqa", device="cpu", backbone=backbone).net
        x = photos(2, *side)
        cells = net.encode_map(x)
        show(f"{backbone} cells", cells)
        show(f"{backbone} places", net.score_map(x, ["quality", "sharpness", PAIR]))
        show(f"{backbone} asked", net.score(cells, "sharpness"))
        show(f"{backbone} float64", net.score_map(x.double(), "quality"))
        for options in ({}, {"upsample": True}):
            show(f"{backbone} smoothed {options}", quality_map(net, x, ["quality", PAIR], **options))


def family():
    """Members on seeded towers. Their scores of 15 patches, and the gradients with respect to them, are in fp32."""
    weights = Path(os.environ["CLIPIQA_WEIGHTS_DIR"])
    captions = {"caption_list": ["a bird on a rock", "two otters in the water"]}
    for name, options, more in (
        ("maclip", {"clip_weights": weights / "RN50.safetensors"}, {}),
        ("qualiclip", {"clip_weights": weights / "QualiCLIP.pth"}, {}),
        ("liqe", {"pretrained_model_path": weights / "liqe.pt"}, {}),
        ("liqe_mix", {"pretrained_model_path": weights / "liqe.pt"}, {}),
        ("clipscore", {"clip_weights": weights / "ViT-B-32.safetensors"}, captions),
    ):
        options = {option: str(file) for option, file in options.items()}
        metric = pyiqa.create_metric(name, device="cpu", **options)
        assert type(metric.net).__module__.startswith("clipiqa_pyiqa."), "built by pyiqa"
        x = photos(2, 240, 288)
        show(name, metric(x, **more))
        if not more:
            show(f"{name} loss", CLIPIQALoss(criterion=metric.net)(x))


def interfaces():
    """The reward, torchmetrics' class, and images in memory."""
    x = photos(4, 128, 160)
    reference = photos(4, 128, 160).flip(3)
    for options in ({}, {"fidelity": 1}, {"local": True, "quantile": 0.1}):
        reward = CLIPIQAReward(["quality", "sharpness"], backbone="mini", **options)
        show(f"reward {options}", reward(x))
        show(f"reward {options} with references", reward(x, reference))
    metric = CLIPImageQualityAssessment(prompts=("quality", PAIR), backbone="mini")
    for name, value in metric(x).items():
        show(f"torchmetrics {name}", value)
    net = pyiqa.create_metric("clipiqa", device="cpu", backbone="mini")
    files = sorted((INPUTS / "few").iterdir())
    for name, images in {"paths": files, "bytes": [file.read_bytes() for file in files], "tensor": x}.items():
        frame = score_images(net, images, ["quality", "sharpness"], device="cpu")
        show(f"in memory {name}", torch.tensor(frame[["quality", "sharpness"]].to_numpy()))
    batch = Scorer(net, ["brightness"], device="cpu")({"image": [file.read_bytes() for file in files]})
    show("scorer", torch.tensor(batch["brightness"]))


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
