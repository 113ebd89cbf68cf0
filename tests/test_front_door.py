"""``import clipiqa_pyiqa``: what it offers, and that it waits for nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from forked import Forked

import clipiqa_pyiqa


def test_it_offers_what_people_call_and_nothing_else() -> None:
    assert dir(clipiqa_pyiqa) == sorted(clipiqa_pyiqa.__all__)
    assert {"CLIPIQA", "CLIPIQALoss", "compare", "score_paths"} <= set(dir(clipiqa_pyiqa))
    for name in clipiqa_pyiqa.__all__:
        thing = getattr(clipiqa_pyiqa, name)
        assert name.startswith("__") or thing.__doc__, f"{name} has no documentation"


def test_rooms_offer_what_they_name_and_nothing_else() -> None:
    for name in ("browsing", "comparison", "figures", "learning", "methods", "scoring", "verification"):
        room = importlib.import_module(f"clipiqa_pyiqa.{name}")
        assert dir(room) == sorted(room.__all__)
        assert all(getattr(room, each).__doc__ for each in room.__all__)
        with pytest.raises(AttributeError, match=f"module 'clipiqa_pyiqa.{name}' has no attribute 'nonsense'"):
            room.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nonsense' from 'clipiqa_pyiqa'"):
        from clipiqa_pyiqa import nonsense  # noqa: F401


def test_it_imports_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import clipiqa_pyiqa; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names - {'clipiqa_pyiqa'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_old_names_of_modules_import_with_a_warning(forked_bare: Forked, tmp_path: Path) -> None:
    code = (
        "import warnings; warnings.simplefilter('error', DeprecationWarning)\n"
        "import clipiqa_pyiqa\n"
        "try: import clipiqa_pyiqa.result_files\n"
        "except DeprecationWarning as warning: print(warning)\n"
        "warnings.simplefilter('ignore')\n"
        "from clipiqa_pyiqa.evaluate import Estimate\n"
        "from clipiqa_pyiqa.evaluate.compare import compare\n"
        "from clipiqa_pyiqa.prompt_files import save_prompt_file\n"
        "import clipiqa_pyiqa.comparison.run as run\n"
        "assert compare is run.compare and run.__spec__.name == run.__name__\n"
    )
    done = forked_bare.run([], tmp_path, code=code)
    assert done.code == 0, done.err
    assert "clipiqa_pyiqa.result_files is now in clipiqa_pyiqa.scoring.result_files" in done.out
