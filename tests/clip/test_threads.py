"""Eight threads that share a metric from a cold start: the bits of one thread, and all that they share is made once."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest
import torch
from photos import photo_like

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip.text import TextTower

pytestmark = pytest.mark.slow

COUNT = 8
SIZES = [(96, 64), (64, 64), (160, 96), (128, 200), (33, 47), (224, 224), (96, 64), (300, 40)]


def at_once(function):
    """The results of calls with 0 to 7, each in a thread; they begin at the same time."""
    start = Barrier(COUNT)

    def begin(number):
        start.wait()
        return function(number)

    with ThreadPoolExecutor(COUNT) as pool:
        return list(pool.map(begin, range(COUNT)))


@pytest.fixture
def callers(monkeypatch):
    """The threads that call a function, each call of which takes long enough for all threads to come."""

    def watch(owner, name):
        original = getattr(owner, name)
        threads = set()

        def call(*args, **options):
            threads.add(get_ident())
            time.sleep(0.1)
            return original(*args, **options)

        monkeypatch.setattr(owner, name, call)
        return threads

    return watch


@pytest.mark.parametrize("backbone", ["mini", "RN50", "ViT-B/32"])
def test_eight_threads_give_the_bits_of_one(backbone, seeded_weights):
    options = {"backbone": backbone, "clip_weights": seeded_weights(backbone), "quick_gelu": True}
    images = [photo_like(*size) for size in SIZES]

    def scores(metric, first):
        with torch.no_grad():
            return {number % COUNT: metric(images[number % COUNT]).item() for number in range(first, first + COUNT)}

    expected = scores(CLIPIQA(**options).eval(), 0)
    metric = CLIPIQA(**options).eval()
    for found in at_once(lambda number: scores(metric, number)):
        assert found == expected


def test_one_thread_encodes_a_text(callers):
    threads = callers(TextTower, "encode")
    metric = CLIPIQA(backbone="mini")
    features = at_once(lambda _: metric.encode_prompts(("Crisp picture.", "Hazy picture.")))
    assert len(threads) == 1
    assert all(torch.equal(each, features[0]) for each in features)
