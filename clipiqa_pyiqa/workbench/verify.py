"""``clipiqa verify``: check that weights give the published scores."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pandas
import torch

from ..errors import ImageError
from ..files import hash_file
from ..metric import CLIPIQA
from ..options import net_of
from .images.image import read_image
from .sources.finding import find_inputs

PIQ = "piq, tests/assets: the official code with OpenAI's RN50 in fp16 (so ±0.01)"
TORCHMETRICS = "torchmetrics, doctest of clip_image_quality_assessment, and pull request 1931: noise fed unscaled"
OSEDIFF = "OSEDiff at fcc4f09, results_osediff of benchmark_drealsr: pyiqa's clipiqa with OpenAI's RN50 on a GPU"
SCORES_OF_PICTURES = {"i01.bmp": 0.89160156, "i01_01_5.bmp": 0.45898438}
"""Image that this package may not distribute -> published score of ``quality``."""
_SHAPE = (3, 384, 512)  # theirs: a photo of another size only has the same name
NOISE = {"quality": (0.8894, 0.8902), "brightness": (0.5507, 0.5208)}
"""Question -> published scores of torchmetrics' two noise images."""
_OSEDIFF_FILE = Path(__file__).parents[1] / "data" / "osediff_drealsr.csv"
# Four printed digits are exact to 5e-5. The tolerance is ten times larger, because fp32 rounds more on pixels that are
# 255 times too large.
_FP16, _FOUR_DIGITS = 0.01, 5e-4


class Check(NamedTuple):
    """A published number beside the measured one; ``tolerance`` is the largest accepted difference."""

    input: str
    prompts: str
    expected: float
    got: float
    tolerance: float
    source: str


class Measurement:
    """Scores by a CLIP-IQA on a device."""

    def __init__(self, net: CLIPIQA, device: str | torch.device) -> None:
        self._net, self._device = net, device

    def score(self, x: torch.Tensor, prompts: str) -> float:
        """Return the score of an image ``(1, 3, H, W)``; its range is not checked, since the noise is unscaled."""
        with torch.no_grad():
            return float(self._net.score(self._net.encode_unchecked(x.to(self._device)), prompts).item())

    def score_of_file(self, path: Path, prompts: str) -> float:
        return self.score(read_image(path).pixels[None].float() / 255, prompts)


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
    measurement = Measurement(net, device)
    checks = [*_piq_checks(measurement, files), *_osediff_checks(measurement, files)]
    if images and not checks:
        raise ImageError(
            "images must hold I01.BMP, i01_01_5.bmp (512 × 384) or OSEDiff's results; none is there.",
            options=("images",),
        )
    checks += _noise_checks(measurement)
    table = pandas.DataFrame(checks, columns=Check._fields)
    table["difference"] = table["got"] - table["expected"]
    has_published_weights = weights.backbone == "RN50" and weights.tag == "openai"
    is_near = table["difference"].abs() <= table["tolerance"]
    table["verdict"] = is_near.map({True: "ok", False: "FAIL" if has_published_weights else "differs"})
    table["source"] = table.pop("source")  # the last column
    table.attrs["weights"] = f"{weights.backbone}, {weights.short}, from {weights.place}: {weights.path}"
    return table


def _piq_checks(measurement: Measurement, files: Sequence[Path]) -> Iterator[Check]:
    """Yield the checks of piq's images among files, which are found by name and size."""
    for path in files:
        expected = SCORES_OF_PICTURES.get(path.name.lower())
        if expected is not None and read_image(path).pixels.shape == _SHAPE:
            yield Check(path.name, "quality", expected, measurement.score_of_file(path, "quality"), _FP16, PIQ)


def _osediff_checks(measurement: Measurement, files: Sequence[Path]) -> Iterator[Check]:
    """Yield two checks of all of OSEDiff's images among files, which are found by hash."""
    published = pandas.read_csv(_OSEDIFF_FILE, index_col="sha256")["clipiqa"]
    paths = {hash_file(path): path for path in files if path.suffix.lower() == ".png"}  # a copy counts once
    distances = [
        abs(measurement.score_of_file(path, "pyiqa") - published[sha256])
        for sha256, path in paths.items()
        if sha256 in published
    ]
    if distances:
        subject = f"distance of {len(distances)} images of OSEDiff"
        yield Check(f"median {subject}", "pyiqa", 0.0, median(distances), 0.002, OSEDIFF)
        yield Check(f"largest {subject}", "pyiqa", 0.0, max(distances), 0.02, OSEDIFF)


def _noise_checks(measurement: Measurement) -> Iterator[Check]:
    """Yield the checks of the noise that torchmetrics' documentation scores."""
    noise = torch.randint(255, (2, 3, 224, 224), generator=torch.Generator().manual_seed(42)).float()
    for question, scores in NOISE.items():
        for number, expected in enumerate(scores):
            got = measurement.score(noise[number, None], question)
            yield Check(f"noise {number + 1} of 2", question, expected, got, _FOUR_DIGITS, TORCHMETRICS)
