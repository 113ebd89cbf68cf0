"""The workflow on docs/table.md runs as it stands: a job in a fresh folder, with a wheel from the clone."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from clone import ROOT, copy_sources
from photos import BUNDLED

from clipiqa_pyiqa import score_paths

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
            kind = step.get("uses", "").partition("@")[0]
            if kind.startswith("actions/cache/") and (code == 0 or "if" in step):
                source, target = (tmp_path, folder) if kind.endswith("restore") else (folder, tmp_path)
                if (source / "kept").exists():
                    shutil.rmtree(target / "kept", ignore_errors=True)
                    shutil.copytree(source / "kept", target / "kept")
            if code == 0 and "run" in step:
                command = step["run"].replace("${{ github.sha }}", "3f2a9c0").replace("-m mini", f"-m {metrics}")
                code = subprocess.run(["bash", "-ec", command], cwd=folder, env=env).returncode
        return code, folder

    return play


def test_the_nightly_workflow_passes_fails_and_keeps_its_history(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    subprocess.run([sys.executable, "-c", GENERATE, "--out", "base/"], check=True)
    run = score_paths("mini", "base/", out="kept/base.parquet")
    next(run)
    run.close()  # a cancelled job
    assert job("first")[0] == 0
    base = (tmp_path / "kept/base.parquet").stat()
    code, folder = job("second", bad=1)
    assert code == 1 and (folder / "summary.md").read_text().startswith("## worse")
    assert {path.name for path in (folder / "gate").iterdir()} >= {"gate.html", "gate.json", "gate.xml", "rows.csv"}
    nights = [json.loads(line) for line in (tmp_path / "kept/nights.jsonl").read_text().splitlines()]
    assert [(night["verdict"], night["commit"]) for night in nights] == [("pass", "3f2a9c0"), ("worse", "3f2a9c0")]
    assert nights[0]["metrics"]["mini"]["backbone"] == "mini" and nights[0]["versions"]["torch"]
    assert (tmp_path / "kept/base.parquet").stat().st_mtime_ns == base.st_mtime_ns
    assert job("third", metrics="mini piqe")[0] == 0
