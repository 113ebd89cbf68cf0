"""What a command line takes: completion, help without delay, and unknown options."""

import re
import subprocess
import sys

import pytest
from photos import BUNDLED

REFUSED = (
    "rank a|map a|sweep a|radar a|pairs a b|agreement a|gate -m=mini a b|train a.csv --out h|fit a.csv --out h|"
    "compare -m mini -d nosuch|compare -m mini -d a.csv|compare -m mini -d livec|"
    "rank . --out scores.csv/x|compare -m x -d . --out scores.csv/x"
)


@pytest.mark.parametrize("command", [[], ["score"]])
def test_help_imports_no_slow_library(command):
    code = "import sys; from clipiqa_pyiqa.workbench.commands import main\n"
    code += f"try: main([*{command}, '--help'])\nexcept SystemExit: pass"
    slow = "{'torch', 'pandas', 'numpy', 'PIL', 'tqdm', 'open_clip', 'pyiqa', 'argparse'}"
    ran = subprocess.run([sys.executable, "-c", f"{code}\nprint({slow} & {{*sys.modules}})"], capture_output=True)
    assert b"Options:" in ran.stdout and ran.stdout.endswith(b"set()\n")


@pytest.mark.parametrize(
    "code, slow, most",
    [
        (f"main(['score', {str(next(BUNDLED.glob('*.jpg')))!r}, '-bmini'])", "yaml", 195),
        ("import torch; clipiqa_pyiqa.CLIPIQALoss(backbone='mini')(torch.rand(1, 3, 32, 32))", "yaml", 90),
        ("main(['rank', 'scores.csv'])", "torch matplotlib", 90),
        (f"[main(line.split()) for line in {REFUSED!r}.split('|')]", "torch", 140),
    ],
    ids=["score", "loss", "rank", "refusals"],
)
@pytest.mark.slow
def test_a_first_result_loads_few_modules(code, slow, most, tmp_path):
    """Files of this package are counted without those that only hold a folder together."""
    (tmp_path / "scores.csv").write_text("path,niqe\na.jpg,1\nb.jpg,2\n")
    slow = {*slow.split(), "torchvision", "open_clip", "pyiqa", "scipy", "httpx", "filelock"}
    code = f"""
import clipiqa_pyiqa, sys; from clipiqa_pyiqa.workbench.commands import main; {code}
print({slow} & {{*sys.modules}})
print(*(m.__file__ for m in {{*sys.modules.values()}} if m.__name__.startswith("clipiqa_pyiqa")))
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    *_, loaded, files = ran.stdout.splitlines()
    assert loaded == "set()" and len([each for each in files.split() if not each.endswith("__init__.py")]) <= most


def run_module(*words, optimized=False):
    flags = ["-OO"] if optimized else []
    ran = subprocess.run([sys.executable, *flags, "-m", "clipiqa_pyiqa", *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_help_without_docstrings():
    """``python -OO`` drops them, and each command ended with a KeyError."""
    assert run_module("prompts", optimized=True) == run_module("prompts")
    code = "from clipiqa_pyiqa.workbench.commands import main; from clipiqa_pyiqa.workbench.commands.app import NAMES\n"
    code += "for name in NAMES: main([name, '--help-all'])"
    flags = []
    for optimization in ([], ["-OO"]):
        ran = subprocess.run([sys.executable, *optimization, "-c", code], capture_output=True, text=True, check=True)
        flags.append(re.findall(r"^  (?:-\w, )?--[\w-]+", ran.stdout, re.MULTILINE))
    assert len(flags[0]) > 150 and flags[0] == flags[1]
