"""What torchmetrics' own tests ask of its class and function, in our words; with mini, as piq's weights are not here.

Theirs compare with piq's scores; the reference here is ``clipiqa_pyiqa.CLIPIQA``.
"""

import pickle

import pytest
import torch

from clipiqa_pyiqa import CLIPIQA

torchmetrics = pytest.importorskip("torchmetrics")

from clipiqa_pyiqa.torchmetrics import CLIPImageQualityAssessment  # noqa: E402

pytestmark = pytest.mark.quick

CLOSE = 1e-6  # of scores in [0, 1]: images that share a pass are summed in another order
CAT, COLOURS = ("Photo of a cat", "Photo of a dog"), ("Colorful photo", "Black and white photo")


def reference(images):
    return CLIPIQA(backbone="mini").eval()(images)[:, 0]


class Summed(CLIPImageQualityAssessment):
    """Theirs is tested so, by a harness for metrics of predictions and targets that come to one number."""

    def update(self, preds, target):
        super().update(preds)

    def compute(self):
        return super().compute().sum()


def test_steps_resets_pickles_and_clones_agree_as_torchmetrics_asks():
    """Batch by batch: each step's value, the value of all, again after a reset, a pickle and a clone."""
    batches = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    metric = Summed(backbone="mini")
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


def test_names_of_prompts_are_theirs():
    theirs = pytest.importorskip("torchmetrics.functional.multimodal.clip_iqa")
    names = tuple(theirs._PROMPTS)
    for prompts in (*zip(names), names[:4], (CAT,), (CAT, "quality", COLOURS)):
        texts, expected = theirs._clip_iqa_format_prompts(prompts)
        metric = CLIPImageQualityAssessment(prompts=prompts, backbone="mini")
        assert list(metric.columns) == expected
        assert [text for pair in metric.columns.pairs for text in (pair.positive, pair.negative)] == texts
