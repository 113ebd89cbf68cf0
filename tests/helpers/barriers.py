"""Barriers of a page on a phone, which axe-core finds."""

from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "docs/site/web/node_modules/axe-core/axe.min.js"


def check_page(page):
    """Fail if the page is wider than a phone, or has a barrier."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if not AXE.is_file():
        pytest.skip("needs axe-core, which docs/site/build.py fetches from npm")
    page.evaluate(AXE.read_text(encoding="utf-8"))  # as a tool of the browser's, which no page's policy stops
    found = page.evaluate("axe.run(document)")["violations"]
    assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]
