"""What a command line takes: help without delay, and unknown options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clipiqa_pyiqa.cli import main


@pytest.mark.parametrize("command", [[], ["score"]])
def test_help_imports_no_slow_library(command: list[str]) -> None:
    code = f"import sys; from clipiqa_pyiqa.cli import main\ntry: main([*{command}, '--help'])\nexcept SystemExit: pass"
    slow = "{'torch', 'pandas', 'numpy', 'PIL', 'tqdm', 'open_clip', 'pyiqa'}"
    ran = subprocess.run([sys.executable, "-c", f"{code}\nprint({slow} & {{*sys.modules}})"], capture_output=True)
    assert b"usage: clipiqa" in ran.stdout and ran.stdout.endswith(b"set()\n")


def test_an_unknown_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rank", "photos", "--wurst", "3"])
    assert "clipiqa rank: error: unrecognized arguments: --wurst" in capsys.readouterr().err
