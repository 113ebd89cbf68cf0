"""``import clipiqa_pyiqa``: what it offers, and that it waits for nothing."""

import subprocess
import sys

import pytest

import clipiqa_pyiqa


@pytest.mark.quick
def test_it_offers_what_people_call_and_nothing_else():
    assert dir(clipiqa_pyiqa) == sorted(clipiqa_pyiqa.__all__)
    assert {"CLIPIQA", "CLIPIQALoss", "compare", "score_paths"} <= set(dir(clipiqa_pyiqa))
    for name in clipiqa_pyiqa.__all__:
        thing = getattr(clipiqa_pyiqa, name)
        assert name.startswith("__") or thing.__doc__, f"{name} has no documentation"


def test_it_imports_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import clipiqa_pyiqa; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names - {'clipiqa_pyiqa'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
