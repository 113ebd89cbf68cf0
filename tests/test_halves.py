"""The plugin stands without the workbench, and loads no library that only files, tables and pages need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clipiqa_pyiqa

PACKAGE = Path(clipiqa_pyiqa.__file__).parent
PLUGIN_MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "workbench" not in path.parts and path not in (PACKAGE / "__init__.py", PACKAGE / "__main__.py")
]

USE = """
import sys
import torch
sys.modules["clipiqa_pyiqa.workbench"] = None  # importing it, or anything in it, is now an error

import pyiqa
from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, CLIPIQAReward
from clipiqa_pyiqa.training import RatedPhotos, fit_ridge
from clipiqa_pyiqa.training import PromptTraining
from clipiqa_pyiqa.training import with_options

images = torch.rand(2, 3, 64, 64)
metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu")
assert isinstance(metric.net, CLIPIQA)
assert metric(images).shape == (2, 1)

pixels = images.clone().requires_grad_()
CLIPIQALoss(backbone="mini")(pixels).backward()
assert pixels.grad.norm() > 0
assert CLIPIQAReward(backbone="mini")(images).shape == (2,)

learning = CLIPIQA("clipiqa+", "mini", pretrained=False)
features = torch.nn.functional.normalize(torch.rand(6, 2, learning.clip.width), dim=-1)
training = PromptTraining(learning, with_options("plain", batch_size=3), features, torch.linspace(0, 1, 6)[:, None])
assert training.epoch().loss > 0

rated = RatedPhotos(features[:, 0].double().numpy(), torch.rand(6).numpy(), torch.linspace(0, 1, 6).numpy())
assert set(fit_ridge(rated)) == {"prior", "mean", "weight"}
"""

SCORE_A_TENSOR = """
import sys
import torch
from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss

images = torch.rand(1, 3, 64, 64)
metric = CLIPIQA(backbone="mini")
metric(images)
CLIPIQALoss(metric=metric)(images)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*(name for name in sys.modules if name.startswith("clipiqa_pyiqa.workbench")))
"""


@pytest.mark.slow
def test_metric_loss_reward_and_training_do_without_the_workbench():
    subprocess.run([sys.executable, "-c", USE], check=True)


def test_scoring_a_tensor_loads_no_library_for_tables_files_and_pages():
    done = subprocess.run([sys.executable, "-c", SCORE_A_TENSOR], capture_output=True, text=True, check=True)
    libraries, of_workbench = done.stdout.split("\n")[:2]
    assert set(libraries.split()).isdisjoint({"pandas", "pyarrow", "matplotlib", "jinja2", "fsspec", "pyiqa"})
    assert of_workbench == ""


@pytest.mark.quick
@pytest.mark.parametrize("path", PLUGIN_MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_of_the_plugin_imports_from_the_top_or_its_own_modules_by_a_string(path):
    """The top's names lead to both halves, and no tool sees an import by a string."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            is_top = node.level == depth and node.module is None
            names = {alias.name for alias in node.names}
            assert not (is_top and names & set(clipiqa_pyiqa.__all__)), f"line {node.lineno}"
            assert node.module != "clipiqa_pyiqa", f"line {node.lineno}"
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            of_pyiqa = ("BUILTIN_MODULES[kind]", "f'pyiqa{module}'")
            assert ast.unparse(node.args[0]) in of_pyiqa, f"line {node.lineno}"
