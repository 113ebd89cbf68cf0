"""The family in pyiqa: who is built, published values, other files, small photos, the loss."""

from __future__ import annotations

import pyiqa
import pytest
import torch

from clipiqa_pyiqa import CLIPIQAError, CLIPIQALoss
from clipiqa_pyiqa.family import MEMBERS, LAIONAes

V2 = [1.655, 2.359, 3.070, 3.672, 4.238, 4.701, 5.073, 5.365, 5.577, 5.747]


def test_published_values(empty_tower, vectors, shared):
    options = {"clip_weights": empty_tower("ViT-L/14"), "quick_gelu": True}
    metric = LAIONAes("laion_aes", pretrained_model_path=shared / "data/laion/laion_v2_l14_linearMSE.pth", **options)
    features = torch.from_numpy(vectors("vit_l_14"))
    assert metric.score(features)[:, 0].tolist() == pytest.approx(V2, abs=6e-4)
    half = metric.score((3 * features).half())  # as stores keep them
    assert half[:, 0].tolist() == pytest.approx(V2, abs=0.02)
    first = LAIONAes("laion_aes", pretrained_model_path=shared / "data/laion/sa_0_4_vit_l_14_linear.pth", **options)
    assert first.score(features)[[0, -1], 0].tolist() == pytest.approx([-2.458, 11.304], abs=6e-4)
    with pytest.raises(CLIPIQAError, match="features of ViT-L/14, which have 768 numbers; got 512"):
        first.score(torch.ones(2, 512))
    with pytest.raises(CLIPIQAError, match=r"shape \(N, D\); got \(2, 3, 768\)"):
        first.score(torch.ones(2, 3, 768))
    assert "laion_v2_l14_linearMSE.pth 21dd590f" in repr(metric)


@pytest.mark.parametrize("name", MEMBERS)
def test_pyiqa_builds_ours_or_says_what_to_fetch(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CLIPIQAError, match="is not on this machine") as caught:
        pyiqa.create_metric(name, device="cpu")
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize("name", ["maclip", "clipscore"])
def test_registered(name, seeded_weights):
    weights = seeded_weights("RN50" if name == "maclip" else "ViT-B/32")
    metric = pyiqa.create_metric(name, device="cpu", as_loss=True, clip_weights=weights, quick_gelu=True)
    assert isinstance(metric.net, MEMBERS[name])
    x = torch.rand(1, 3, 224, 230, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1).requires_grad_()
    captions = {}
    if name == "clipscore":  # of random weights, a caption that is not cut off at 0, where there is no gradient
        words = ["a wall", "noise", "a red bird", "sky", "one two three", "grey"]
        with torch.no_grad():
            found = metric.net(x[:1].expand(len(words), -1, -1, -1), caption_list=words)
        captions["caption_list"] = [words[found.argmax()]] * 2
    metric(x, **captions).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    if name == "clipscore":
        with pytest.raises(CLIPIQAError, match="needs a caption for each image"):
            metric.net(x, caption_list=["one"])
        return
    with pytest.raises(CLIPIQAError, match="230×200 px, but maclip needs at least 224 px"):
        metric.net(x[:, :, :200])
    loss = CLIPIQALoss(criterion=metric.net)
    torch.testing.assert_close(loss(x), 1 - metric.net(x).mean())
