"""The workflow on docs/table.md runs as it stands: a job in a fresh folder, with a wheel from the clone."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from photos import BUNDLED
from repository import ROOT, copy_sources

pytestmark = pytest.mark.slow

WORKFLOW = (ROOT / "docs/table.md").read_text().split("```yaml\njobs:\n")[1].split("```")[0]
STEPS = yaml.safe_load(WORKFLOW)["quality"]["steps"]
GENERATE = f"""
import os, sys
from PIL import Image
photo = Image.open({str(BUNDLED / "canyon-wren.jpg")!r}).convert("RGB").reduce(1 + 2 * int(os.environ.get("BAD", 0)))
out = sys.argv[sys.argv.index("--out") + 1]
os.makedirs(out)
for n in range(20):
    photo.resize((200, 150)).crop((5 * n, 2 * n, 5 * n + 80, 2 * n + 64)).save(f"{{out}}/prompt_{{n}}.png")
"""


@pytest.fixture
def job(tmp_path):
    """Plays a job with the files that the last job kept; returns its exit code and its folder."""

    def play(name, bad=0, metrics="mini"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "generate.py").write_text(GENERATE)
        subprocess.run([sys.executable, "generate.py", "--out", "base/"], cwd=folder, check=True)
        clone = folder / "clipiqa-pyiqa"
        clone.mkdir()
        copy_sources(clone)
        site = folder / "site"  # an environment of its own, without the dependencies, which are here
        paths = {"PYTHONPATH": os.pathsep.join([str(site), *sys.path]), "PATH": f"{site / 'bin'}:{os.environ['PATH']}"}
        pip = {"PIP_TARGET": str(site), "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # 0: pip takes the reverse
        env = {**os.environ, **paths, **pip, "BAD": str(bad), "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
        code = 0
        for step in STEPS:
            if step.get("uses", "").startswith("actions/cache@") and (tmp_path / "kept").exists():
                shutil.copytree(tmp_path / "kept", folder / "kept")
            if code == 0 and "run" in step:
                command = step["run"].replace("-m mini", f"-m {metrics}")
                code = subprocess.run(["bash", "-ec", command], cwd=folder, env=env).returncode
        if code == 0 and not (tmp_path / "kept").exists():  # the action keeps files of a new key, if the job passed
            shutil.copytree(folder / "kept", tmp_path / "kept")
        return code, folder

    return play


def test_the_workflow_passes_fails_and_scores_the_base_once(job, tmp_path):
    assert job("first", bad=1)[0] == 1 and not (tmp_path / "kept").exists()
    assert job("second")[0] == 0
    base = (tmp_path / "kept/base.parquet").stat()
    code, folder = job("third", bad=1)
    assert code == 1 and (folder / "summary.md").read_text().startswith("## FAILED")
    assert {path.name for path in (folder / "gate").iterdir()} >= {"gate.html", "gate.json", "gate.xml", "rows.csv"}
    found = json.loads((folder / "gate/gate.json").read_text())
    assert found["verdict"] == "failed" and found["versions"]["torch"]
    assert found["metrics"]["mini"]["backbone"] == "mini"
    assert (folder / "kept/base.parquet").stat().st_mtime_ns == base.st_mtime_ns  # nothing was scored again
    assert job("fourth", metrics="mini piqe")[0] == 0  # the base gets a column
