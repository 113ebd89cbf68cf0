"""``clipiqa verify``: check that weights give the published scores."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pandas
import torch

from ..errors import ImageError
from ..files.reading import hash_file
from ..metric import CLIPIQA
from ..tower_metric import net_of
from .images.image import read_image
from .sources.finding import find_inputs

PIQ = "piq, tests/assets: the official code with OpenAI's RN50 in fp16 (so ±0.01)"
TORCHMETRICS = "torchmetrics, doctest of clip_image_quality_assessment, and pull request 1931: noise fed unscaled"
OSEDIFF = "OSEDiff at fcc4f09, results_osediff of benchmark_drealsr: pyiqa's clipiqa with OpenAI's RN50 on a GPU"
PICTURES = {"i01.bmp": 0.89160156, "i01_01_5.bmp": 0.45898438}
"""Image that this package may not distribute -> published score of ``quality``."""
_SHAPE = (3, 384, 512)  # theirs: a photo of another size only has the same name
NOISE = {"quality": (0.8894, 0.8902), "brightness": (0.5507, 0.5208)}
"""Question -> published scores of torchmetrics' two noise images."""
_OSEDIFF_FILE = Path(__file__).parents[1] / "data" / "osediff_drealsr.csv"
# Four printed digits are exact to 5e-5. The tolerance is ten times larger, because fp32 rounds more on pixels that are
# 255 times too large.
_FP16, _FOUR_DIGITS = 0.01, 5e-4


def verify(
    metric: CLIPIQA | Callable[[], CLIPIQA], images: Sequence[Path] = (), *, device: str | torch.device = "cpu"
) -> pandas.DataFrame:
    """Return published scores of images beside measured scores, a row for each.

    Columns: input, prompts, expected, got, tolerance (largest accepted difference), source, difference, verdict
    (``'ok'``; for a difference ``'FAIL'``, or ``'differs'`` if the published scores are of other weights).
    ``attrs["weights"]`` names the weights.

    Args:
        metric: CLIP-IQA, or a function that builds CLIP-IQA after the images are found.
        images: Files, folders and globs that hold images with published scores.
    """
    files = list(map(Path, find_inputs(images) if images else ()))
    net = net_of(metric)
    weights = net.clip.weights

    def score(x: torch.Tensor, prompts: str) -> float:
        with torch.no_grad():  # without a check of the range, since torchmetrics' noise has pixels from 0 to 254
            return float(net.score(net.encode_unchecked(x.to(device)), prompts).item())

    def score_of(path: Path, prompts: str) -> float:
        return score(read_image(path).pixels[None].float() / 255, prompts)

    checks = [
        (path.name, "quality", expected, score_of(path, "quality"), _FP16, PIQ)
        for path in files
        if (expected := PICTURES.get(path.name.lower())) and read_image(path).pixels.shape == _SHAPE
    ]
    published = pandas.read_csv(_OSEDIFF_FILE, index_col="sha256")["clipiqa"]
    hashes = {hash_file(path): path for path in files if path.suffix.lower() == ".png"}
    distances = [
        abs(score_of(path, "pyiqa") - published[sha256]) for sha256, path in hashes.items() if sha256 in published
    ]
    if distances:
        subject = f"distance of {len(distances)} images of OSEDiff"
        checks.append((f"median {subject}", "pyiqa", 0.0, median(distances), 0.002, OSEDIFF))
        checks.append((f"largest {subject}", "pyiqa", 0.0, max(distances), 0.02, OSEDIFF))
    if images and not checks:
        raise ImageError(
            "{images} must hold I01.BMP, i01_01_5.bmp (512 × 384) or OSEDiff's results; none is there.",
            options=("images",),
        )
    noise = torch.randint(255, (2, 3, 224, 224), generator=torch.Generator().manual_seed(42)).float()
    for question, scores in NOISE.items():
        for number, expected in enumerate(scores):
            got = score(noise[number, None], question)
            checks.append((f"noise {number + 1} of 2", question, expected, got, _FOUR_DIGITS, TORCHMETRICS))
    table = pandas.DataFrame(checks, columns=["input", "prompts", "expected", "got", "tolerance", "source"])
    table["difference"] = table["got"] - table["expected"]
    is_ours = weights.backbone == "RN50" and weights.tag == "openai"
    is_near = table["difference"].abs() <= table["tolerance"]
    table["verdict"] = is_near.map({True: "ok", False: "FAIL" if is_ours else "differs"})
    table["source"] = table.pop("source")  # the last column
    table.attrs["weights"] = f"{weights.backbone}, {weights.short}, from {weights.place}: {weights.path}"
    return table
