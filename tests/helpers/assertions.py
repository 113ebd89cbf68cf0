"""What tests demand: a refusal in a sentence, an end in time, a page without barriers."""

import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from clipiqa_pyiqa import CLIPIQAError


def refused(function, *args, **options):
    """Fail unless a call raises an error of ours, in a sentence; return the sentence, and a line that may follow."""
    with pytest.raises(CLIPIQAError) as caught:
        function(*args, **options)
    assert str(caught.value).count("\n") < 2
    return str(caught.value)


@contextmanager
def time_limit(seconds):
    """Raise ``AssertionError`` after these seconds."""

    def stop(*_):
        raise AssertionError("it takes too long")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


AXE = Path(__file__).parents[2] / "docs/site/web/node_modules/axe-core/axe.min.js"


def check_page(page):
    """Fail if the page is wider than a phone, or has a barrier."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if not AXE.is_file():
        pytest.skip("needs axe-core, which docs/site/build.py fetches from npm")
    page.evaluate(AXE.read_text(encoding="utf-8"))  # as a tool of the browser's, which no page's policy stops
    found = page.evaluate("axe.run(document)")["violations"]
    assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]
