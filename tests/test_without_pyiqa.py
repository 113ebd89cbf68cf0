"""Where pyiqa cannot be imported, everything works that is not about pyiqa, with equal scores."""

import re
from pathlib import Path

import pytest
from inputs import make_world
from tensors import uniform

from clipiqa_pyiqa import CLIPIQA, score_paths

ROOT = Path(__file__).parents[1]
MINI = "-b mini --device cpu -q"
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] == "pyiqa" else PathFinder.find_spec(name, path, target)

    def find_distributions(context):
        return [] if context.name == "pyiqa" else PathFinder.find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""
COMMAND = f"{WITHOUT}\nfrom clipiqa_pyiqa.workbench.commands import main\nsys.exit(main(sys.argv[1:]))"


@pytest.fixture
def folder(tmp_path):
    make_world(tmp_path)
    (tmp_path / "niqe.csv").write_text("image,niqe\n" + "".join(f"{n}.png,{n}\n" for n in range(9)))
    for n in range(9):
        (tmp_path / f"{n}.png").touch()  # rank names photos that are gone
    return tmp_path


@pytest.mark.slow
def test_the_interfaces_give_equal_scores(forked_bare, folder):
    code = f"""{WITHOUT}
import torch, clipiqa_pyiqa
from clipiqa_pyiqa.torchmetrics import CLIPImageQualityAssessment
x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
score = clipiqa_pyiqa.CLIPIQA(backbone="mini").eval()(x)
theirs = CLIPImageQualityAssessment(backbone="mini")
theirs.update(x)
assert torch.equal(clipiqa_pyiqa.CLIPIQALoss(backbone="mini")(x), 1 - score.mean())
assert abs(theirs.compute() - score) < 1e-6 and clipiqa_pyiqa.CLIPIQAReward(backbone="mini")(x).shape == (1,)
assert not clipiqa_pyiqa.is_active() and "pyiqa" not in sys.modules
print(score.item())
"""
    job = forked_bare.run("", folder, code=code)
    assert job.code == 0, job.err
    x = uniform(1, 3, 64, 64)
    assert float(job.out) == pytest.approx(CLIPIQA(backbone="mini").eval()(x).item(), rel=1e-4)


@pytest.mark.parametrize(
    "command",
    [
        f"score photos/0.png --out out.csv {MINI}",
        f"score photos/0.png --out scores.jsonl {MINI}",
        f"map photos/0.png --out maps {MINI}",
        f"rank photos --out rank {MINI}",
        f"fit scores.csv --method affine --out head.safetensors --features store {MINI}",
        "gate niqe.csv niqe.csv",
        "rank niqe.csv --worst 1 --paths",
        pytest.param("export mini.onnx -b mini --quick-gelu --clip-weights", marks=pytest.mark.long),
    ],
)
@pytest.mark.slow
def test_a_command_works(forked_bare, folder, small_compact, command):
    if command.startswith("export"):
        pytest.importorskip("onnxruntime")
        command = f"{command} {small_compact}"
    job = forked_bare.run(command, folder, code=COMMAND)
    assert job.code == 0, job.err
    if command.startswith("rank niqe.csv"):
        assert job.out == "8.png\n"  # high is bad
    if "out.csv" in command:
        metric = CLIPIQA(backbone="mini").eval()
        expected = score_paths(metric, folder / "photos/0.png", device="cpu").frame()["quality"].item()
        found = float((folder / "out.csv").read_text().splitlines()[1].split(",")[1])
        assert found == pytest.approx(expected, abs=1e-5)  # another number of threads rounds otherwise


def test_what_needs_pyiqa_says_so_in_one_sentence(forked_bare, folder):
    for command in [
        "compare -m clipiqa -d photos",
        "table --methods a=photos -m niqe",
        f"fit koniq10k --out head.safetensors {MINI}",
        f"train koniq10k --out run {MINI}",
    ]:
        job = forked_bare.run(command, folder, code=COMMAND)
        assert job.code == 2 and "Traceback" not in job.err
        assert job.err.splitlines()[-1].startswith(f"clipiqa {command.split()[0]}: error: this needs pyiqa"), job.err


def test_the_page_lists_what_to_install_without_pyiqa():
    required = (ROOT / "setup.py").read_text().split("install_requires=[")[1].split("]")[0]
    wanted = [name for name in re.findall(r'^ +"(.+?)"', required, re.M) if not name.startswith("pyiqa")]
    page = (ROOT / "docs/install.md").read_text().split("## Without pyiqa")[1].split("```")[1]
    assert re.findall(r"'(.+?)'", page) == wanted
