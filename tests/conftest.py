"""Fixtures that several test modules share."""

import dataclasses
import importlib
import os
import pickle
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

# `pytest -n N`: the workers share the cores; torch and the commands that tests start read this when they start.
if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import pytest
from filelock import FileLock
from forked import Bare, Forked
from repository import SHARED_FOLDER

from clipiqa_pyiqa.workbench.commands import main


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the long forms: more trials, larger towers, every photo")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: a larger form of a test, made with --long only")
    config.addinivalue_line("markers", "gpu: takes CUDA, or the device that CLIPIQA_TEST_DEVICE names")
    config.addinivalue_line("markers", "slow: takes seconds, as it plays a page, a browser, a cluster or a training")
    config.addinivalue_line("markers", "quick: one of a few tests of every room, in one process, without network")
    if not config.getoption("long"):
        os.environ["FEW_LAYERS"] = "1"  # also for `forked`
    if "PYTEST_XDIST_WORKER" not in os.environ:  # whose caches are those of all: new ones, that hold no other hashes
        os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache/matplotlib"))  # its fonts take it seconds
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        os.environ["XDG_CACHE_HOME"] = folder.name


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(config, items):
    from seeded import set_depth  # here, as xdist's own process collects nothing: torch would take it seconds

    set_depth("FEW_LAYERS" in os.environ)
    if config.getoption("long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="a larger form: --long"))


@pytest.fixture(scope="session")
def times(request):
    """How many times the trials of the short form tests of faults make."""
    return 20 if request.config.getoption("long") else 1


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """``once('name', fill)`` -> a folder that ``fill(folder)`` filled for the first of all workers that asked."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def get(name, fill):
        folder = root / f"once-{name}"
        partial = root / f"part-{name}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                partial.mkdir()
                fill(partial)
                partial.rename(folder)
        return folder

    return get


@pytest.fixture(scope="session")
def seeded_weights(once):
    """``seeded_weights('RN50')`` -> path of a seeded checkpoint of that architecture, alone in its folder.

    It has few layers, unless the run is ``--long``. mini's are the bundled ones.
    """
    from seeded import save_seeded

    from clipiqa_pyiqa.weights.published import MINI_FILE

    def get(backbone="RN50"):
        if backbone == "mini":
            return MINI_FILE
        name = backbone.replace("/", "-")
        return once(name, lambda folder: save_seeded(folder, backbone)) / f"{name}.safetensors"

    return get


@pytest.fixture(scope="module")
def metric():
    """mini; its tower is read once while a module holds it."""
    from clipiqa_pyiqa import CLIPIQA

    return CLIPIQA(backbone="mini").eval()


@pytest.fixture
def full_rn50(once):
    """A seeded checkpoint with all of RN50's layers, alone in its folder, and the package expects them."""
    from seeded import save_seeded, set_depth

    set_depth(few=False)
    yield once("all-layers", save_seeded) / "RN50.safetensors"
    set_depth(few="FEW_LAYERS" in os.environ)


@pytest.fixture(scope="session")
def small_compact(once):
    """A seeded compact checkpoint with two blocks, which is quick to compile and to export."""
    from seeded import save_compact

    return once("small", lambda folder: save_compact(folder / "mini.safetensors")) / "mini.safetensors"


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def browser_page():
    """docs/site/browser_page.py, which makes the page that scores in the browser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "docs/site")
        yield importlib.import_module("browser_page")


@pytest.fixture(scope="session")
def exported_mini(browser_page, once):
    """mini as the page has it, exported: what :func:`clipiqa_pyiqa.export_onnx` returned."""

    def fill(folder):
        (folder / "result").write_bytes(pickle.dumps(browser_page.exported(folder / "mini.onnx")))

    folder = once("exported", fill)
    return dataclasses.replace(pickle.loads((folder / "result").read_bytes()), path=folder / "mini.onnx")


@pytest.fixture
def clipiqa(tmp_path, monkeypatch, capfd):
    """Runs a command line in the test's folder; returns its exit code, output and messages.

    ``clipiqa('score photos', 1, 'gone.png', out='quality')`` demands an exit code, and parts of messages and output.
    """
    monkeypatch.chdir(tmp_path)

    def run(line, code=None, *said, out=""):
        ran = SimpleNamespace(code=main(shlex.split(line)))
        ran.out, ran.err = capfd.readouterr()
        assert code in (None, ran.code), ran.err
        assert out in ran.out
        for each in ("", *said):
            assert each in ran.err and "Traceback" not in ran.err
        return ran

    return run


@pytest.fixture
def standin(monkeypatch):
    """Commands build a metric of brightness in place of CLIP-IQA."""
    from metrics import Brightness

    monkeypatch.setattr("clipiqa_pyiqa.workbench.metrics.building.create_ours", lambda *_, **__: Brightness())


@pytest.fixture(scope="session")
def shared():
    """The folder of larger test images that is not part of the repository."""
    if not (SHARED_FOLDER / "data").is_dir():
        pytest.skip(f"the larger test images are not at hand: there is no {SHARED_FOLDER.name}/data (CLIPIQA_SHARED)")
    return SHARED_FOLDER


@pytest.fixture(scope="session")
def forked(forked_bare, tmp_path_factory):
    """Runs commands in processes of their own, quickly."""
    jobs = Forked(forked_bare, tmp_path_factory.mktemp("pipes"))
    yield jobs
    jobs.close()


@pytest.fixture(scope="session")
def forked_bare():
    """Runs code in processes that have imported torch and other libraries, but not pyiqa, open_clip or us."""
    jobs = Bare()
    yield jobs
    jobs.close()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)
