"""The page that scores in the browser, as a folder: plain files, the exported mini, and onnxruntime-web from npm.

python docs/site/browser_page.py build/site/score
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA, export_onnx
from clipiqa_pyiqa.clip.mini import CELL
from clipiqa_pyiqa.onnx_export import OnnxFile

WEB = Path(__file__).parent / "web"
FILES = ("index.html", "style.css", "page.js", "draw.js", "worker.js", "icon.svg")
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
QUESTIONS = {  # on the page -> as the metric is asked
    **{name: name for name in ("quality", "sharpness", "noisiness", "brightness", "contrast", "colorfulness")},
    "artifacts": ("Artifact-free photo.", "Compressed photo."),
}


def npm_packages() -> Path | None:
    """Return the folder of npm's packages, which npm fills if it is empty; None on a machine without npm.

    Raises:
        CalledProcessError: npm failed.
    """
    folder = WEB / "node_modules"
    if not (folder / "onnxruntime-web/dist" / RUNTIME[0]).is_file():
        npm = shutil.which("npm")
        if npm is None:
            return None
        quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run([npm, "install", *quiet], cwd=WEB, check=True, stdout=sys.stderr)
    return folder


def exported(path: Path) -> OnnxFile:
    """Return mini, exported with the page's questions and their maps."""
    return export_onnx(CLIPIQA(backbone="mini"), path, list(QUESTIONS.values()), with_map=True, overwrite=True)


def build(out: Path, file: OnnxFile | None = None) -> bool:
    """Write the page with a file of :func:`exported`; return False without npm, and write nothing."""
    packages = npm_packages()
    if packages is None:
        return False
    (out / "ort").mkdir(parents=True, exist_ok=True)
    (out / "samples").mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(WEB / name, out)
    for name in RUNTIME:
        shutil.copy(packages / "onnxruntime-web/dist" / name, out / "ort")
    samples = []
    for photo in sorted((Path(clipiqa_pyiqa.__file__).parent / "data/photos").glob("*.jpg")):
        shutil.copy(photo, out / "samples")
        samples.append({"name": photo.name, "label": photo.stem.replace("-", " ")})
    if file is None:
        file = exported(out / "mini.onnx")
    else:
        shutil.copy(file.path, out / "mini.onnx")
    pairs = json.loads(file.metadata["pairs"])
    model = {
        "names": list(QUESTIONS),
        "texts": [pairs[column][0] for column in file.columns],
        "asked": list(map(repr, QUESTIONS.values())),
        "cell": CELL,
        "samples": samples,
    }
    (out / "model.json").write_text(json.dumps(model), encoding="utf-8")
    print(file.describe())
    return True


if __name__ == "__main__":
    sys.exit(
        0 if build(Path(sys.argv[1])) else "npm is not installed, so onnxruntime-web is missing: no page was made."
    )
