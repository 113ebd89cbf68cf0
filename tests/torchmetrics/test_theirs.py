"""What torchmetrics' own tests ask of its class and function, in our words; with mini, as piq's weights are not here.

Theirs compare with piq's scores; the reference here is ``clipiqa_pyiqa.CLIPIQA``.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.images.reader import read_image

torchmetrics = pytest.importorskip("torchmetrics")

from torchmetrics.wrappers import MetricTracker, MinMaxMetric  # noqa: E402

from clipiqa_pyiqa.torchmetrics import CLIPImageQualityAssessment, clip_image_quality_assessment  # noqa: E402

PHOTO = Path(__file__).parents[1] / "data" / "canyon-wren.jpg"
CLOSE = 1e-6  # of scores in [0, 1]: images that share a pass are summed in another order
CAT, COLOURS = ("Photo of a cat", "Photo of a dog"), ("Colorful photo", "Black and white photo")
NAMES = (
    *("quality", "brightness", "noisiness", "colorfullness", "sharpness", "contrast", "complexity", "natural", "happy"),
    *("scary", "new", "warm", "real", "beautiful", "lonely", "relaxing"),
)
PROMPTS = (
    *((name,) for name in NAMES),
    *(NAMES[:n] for n in (2, 3, 4)),
    *((CAT,), (CAT, "quality"), (CAT, "quality", COLOURS)),
)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A real photo, ``(1, 3, 96, 96)`` from 0 to 255."""
    return read_image(PHOTO).pixels[None, :, :96, :96].float()


def reference(images: Tensor) -> Tensor:
    return CLIPIQA(backbone="mini").eval()(images)[:, 0]


class Summed(CLIPImageQualityAssessment):
    """Theirs is tested so, by a harness for metrics of predictions and targets that come to one number."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds)

    def compute(self) -> Tensor:
        return super().compute().sum()


def test_class_in_the_harness() -> None:
    """Batch by batch: each step's value, the value of all, again after a reset, a pickle and a clone."""
    batches = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    metric = Summed(backbone="mini")
    for name in ("is_differentiable", "higher_is_better", "full_state_update"):
        with pytest.raises(RuntimeError):  # torchmetrics guards what a class says of itself
            setattr(metric, name, not getattr(metric, name))
    metric = pickle.loads(pickle.dumps(metric))
    assert metric.clone() is not metric
    for _ in range(2):
        for batch in batches:
            step = metric(batch, batch)
            assert step.shape == () and abs(step - reference(batch).sum()) < CLOSE
        assert abs(metric.compute() - reference(batches.flatten(0, 1)).sum()) < 2 * CLOSE
        metric.reset()
        assert metric.scores == [] and metric.update_count == 0
    assert metric.state_dict() == {}


@pytest.mark.parametrize("shape", [(2, 1, 3, 80, 80), (2, 2, 3, 80, 80), (2, 2, 3, 64, 64)])
def test_function_on_several_shapes(shape: tuple[int, ...]) -> None:
    for batch in torch.rand(shape, generator=torch.Generator().manual_seed(2)):
        found = clip_image_quality_assessment(batch, backbone="mini")
        assert found.shape == (() if shape[1] == 1 else (shape[1],))
        assert (found - reference(batch)).abs().max() < CLOSE


def test_photo_on_its_own_scale(photo: Tensor) -> None:
    found = clip_image_quality_assessment(photo, data_range=255, backbone="mini")
    assert abs(found - reference(photo / 255)) < CLOSE


@pytest.mark.parametrize("prompts", PROMPTS)
def test_prompts(prompts: Any, photo: Tensor) -> None:
    result = clip_image_quality_assessment(photo, data_range=255, prompts=prompts, backbone="mini")
    if len(prompts) == 1:
        assert isinstance(result, Tensor) and 0 < result < 1
        return
    assert isinstance(result, dict) and len(result) == len(prompts)
    for prompt, (name, value) in zip(prompts, result.items(), strict=True):
        assert name == prompt if isinstance(prompt, str) else name.startswith("user_defined_")
        assert isinstance(value, Tensor) and value.shape == (1,) and 0 < value < 1


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("quality", "Argument `prompts` must be a tuple containing strings or tuples of strings"),
        (("quality", 1), "Argument `prompts` must be a tuple containing strings or tuples of strings"),
        ((("quality", "quality", "quality"),), "If a tuple is provided in argument `prompts`, it must be of length 2"),
        (("quality", "something"), "All elements of `prompts` must be one of.*"),
    ],
)
def test_wrong_prompts(prompts: Any, message: str) -> None:
    """The same sentences as theirs, which one may have matched in tests of one's own."""
    theirs = pytest.importorskip("torchmetrics.functional.multimodal.clip_iqa")._clip_iqa_format_prompts
    for function in (lambda: CLIPImageQualityAssessment(prompts=prompts, backbone="mini"), lambda: theirs(prompts)):
        with pytest.raises(ValueError, match=message):
            function()


def test_names_of_prompts_are_theirs() -> None:
    theirs = pytest.importorskip("torchmetrics.functional.multimodal.clip_iqa")
    assert set(NAMES) == set(theirs._PROMPTS)
    for prompts in PROMPTS:
        texts, names = theirs._clip_iqa_format_prompts(prompts)
        metric = CLIPImageQualityAssessment(prompts=prompts, backbone="mini")
        assert list(metric.prompt_names) == names
        assert [text for pair in metric.prompt_pairs for text in (pair.positive, pair.negative)] == texts


def test_plot_gives_figure_and_axes() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    metric = CLIPImageQualityAssessment(backbone="mini")
    metric.update(torch.rand(1, 3, 64, 64))
    figure, axes = metric.plot()
    assert isinstance(figure, plt.Figure) and isinstance(axes, plt.Axes)
    own = plt.subplots()[1]
    assert CLIPImageQualityAssessment.plot(metric, metric.compute(), own)[1] is own
    several = CLIPImageQualityAssessment(backbone="mini", prompts=("quality", "sharpness"))
    several.update(torch.rand(1, 3, 64, 64))
    assert isinstance(several.plot()[1], plt.Axes)
    plt.close("all")


# What torchmetrics does with any metric


def test_arithmetic_and_wrappers() -> None:
    images = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    worse = 1 - CLIPImageQualityAssessment(backbone="mini")
    worse.update(images[0])
    assert abs(worse.compute() - (1 - reference(images[0]))) < CLOSE
    extremes = MinMaxMetric(CLIPImageQualityAssessment(backbone="mini"))
    for batch in images:
        extremes(batch)
    assert set(extremes.compute()) == {"raw", "min", "max"}
    tracker = MetricTracker(CLIPImageQualityAssessment(backbone="mini"))
    for batch in images:
        tracker.increment()
        tracker.update(batch)
    scores = torch.stack([reference(batch).squeeze() for batch in images])
    best, step = tracker.best_metric(return_step=True)
    assert abs(best - scores.max()) < CLOSE and step == scores.argmax()


def test_torchmetrics_own_options() -> None:
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    metric = CLIPImageQualityAssessment(backbone="mini", compute_on_cpu=True, sync_on_compute=False)
    metric.update(images)
    assert metric.scores[0].device.type == "cpu" and metric.update_count == 1
    with torch.no_grad():
        assert not metric(images).requires_grad


def test_compute_before_update_warns_as_theirs() -> None:
    metric = CLIPImageQualityAssessment(backbone="mini")
    with pytest.warns(UserWarning, match="was called before the ``update`` method"), pytest.raises(ValueError):
        metric.compute()
