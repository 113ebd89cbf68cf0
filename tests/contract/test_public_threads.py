"""The pipeline: order, batches, failures and memory, with a cheap metric; and the real one at the end."""

import gc

import numpy as np
import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import CLIPIQA, score_paths


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_threads(small_compact, tmp_path):
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (60 + 30 * number, 250, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    default = torch.get_num_threads()
    found = set()
    texts = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        metric = None
        gc.collect()
        metric = CLIPIQA(backbone="mini", clip_weights=small_compact).eval()  # its CLIP has encoded no texts yet
        try:
            texts.add(tuple(metric.encode_prompts().flatten().tolist()))  # before a run, or for a large image
            found.add(tuple(row.scores for row in score_paths(metric, tmp_path, "quality")))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(default)
    assert len(found) == len(texts) == 1
