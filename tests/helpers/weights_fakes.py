"""Checkpoint files with a real architecture's names and shapes but a few kilobytes, and a local server to fetch them.

Every tensor is one number, expanded: ``torch.save`` and ``torch.jit.save`` store the one number and the shape. Test
modules that name this one in ``pytest_plugins`` get the fixtures.
"""

import hashlib
import http.server
import os
import pickle
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import open_clip
import pytest
import torch
from huggingface_hub import constants
from stores import serving

from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.finding import shapes_of

REFUSED = "http://127.0.0.1:9"  # where nothing listens
VIT = "ViT-B/32"  # the quickest to describe
TIMM, LAION = "timm/vit_base_patch32_clip_224.openai", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
BIN = "open_clip_pytorch_model.bin"
REVISION = "f" * 40  # of a repository on the hub


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with nothing in it, all caches inside, and a hub that refuses connections."""
    home = tmp_path / "home"
    home.mkdir()
    for name, place in {"HOME": home, "XDG_CACHE_HOME": home / "cache", "TORCH_HOME": home / "torch"}.items():
        monkeypatch.setenv(name, str(place))
    for name in list(os.environ):
        if name == "CLIPIQA_WEIGHTS_DIR" or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    set_hub(monkeypatch, REFUSED)
    monkeypatch.setattr(published, "MIRRORS", {})
    return home


def set_hub(monkeypatch, url):
    """Do what HF_ENDPOINT does, for a client that is loaded already."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that ``CLIPIQA_WEIGHTS_DIR`` names; ask for ``home`` before it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(folder))
    return folder


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A file that counts as the hub's ViT-B/32, under a name that stands for open_clip_model.safetensors."""
    file = save_state_dict(tmp_path / "first.bin", VIT)
    monkeypatch.setitem(published.PINNED, TIMM, (REVISION, sha256(file)))
    monkeypatch.setattr(published, "HUB_NAMES", (file.name, BIN))
    return file


def prompts_like(folder, monkeypatch):
    """A file that counts as one of pyiqa's: its name has a plus, and carries the hash of its content."""
    torch.save(torch.zeros(16, 512), folder / "x.pth")
    path = (folder / "x.pth").rename(folder / f"PROMPTS+_x-{sha256(folder / 'x.pth')[:8]}.pth")
    monkeypatch.setattr(published, "PYIQA_FILES", {path.name: sha256(path)[:8]})
    return path


@pytest.fixture(scope="session")
def openai_archive(tmp_path_factory):
    return save_openai_like(tmp_path_factory.mktemp("openai") / "x.pt", VIT)


@pytest.fixture
def openai_file(openai_archive, tmp_path, monkeypatch):
    """A file that counts as OpenAI's ``ViT-B-32.pt``: open_clip's table gets its hash."""
    path = place(openai_archive, tmp_path / "published.pt")
    set_openai_url(monkeypatch, f"{REFUSED}/{sha256(path)}/ViT-B-32.pt")
    return path


@dataclass
class Response:
    """What the server answers: a status, headers, and a body, or its first ``cut_at`` bytes."""

    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    cut_at: int | None = None


NOT_FOUND = Response(status=404, headers={"X-Error-Code": "EntryNotFound"})  # as the hub says it


@pytest.fixture
def server():
    """A server on this machine that gives prepared answers, 404 to all else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            prepared.requests.append(f"{self.command} {self.path}")
            response = prepared.responses.get(self.path, NOT_FOUND)
            self.send_response(response.status)
            for name, value in {"Content-Length": len(response.body), **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(response.body[: response.cut_at])

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with serving(Handler) as url:
        prepared = SimpleNamespace(url=url, responses={}, requests=[])  # by path; and 'GET /path', as they came
        yield prepared


@pytest.fixture
def route(openai_file, server, monkeypatch):
    """The route of OpenAI's file on the server; the hub refuses."""
    route = f"/{sha256(openai_file)}/ViT-B-32.pt"
    server.responses[route] = Response(openai_file.read_bytes())
    set_openai_url(monkeypatch, server.url + route)
    return route


def set_openai_url(monkeypatch, url, model="ViT-B-32"):
    """Change OpenAI's URL, which carries the file's hash, in open_clip's table."""
    monkeypatch.setitem(open_clip.get_pretrained_cfg(model, "openai"), "url", url)


def place(file, target):
    """Copy a file to where a cache would keep it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(file, target))


def damage(path):
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def put_into_hub_cache(cache, repository, name, file, blob=""):
    """Lay a file into the hub cache as huggingface_hub does: a blob named by its hash, a link, a reference."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    blob_path = place(file, folder / "blobs" / (blob or sha256(file)))
    link = folder / "snapshots" / REVISION / name
    link.parent.mkdir(parents=True)
    link.symlink_to(blob_path)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)
    return link


def fake_state_dict(backbone="RN50"):
    """Every tensor that a backbone has, its numbers all 0.5."""
    half = torch.tensor(0.5, dtype=torch.float16)
    return {name: half.expand(shape) for name, shape in shapes_of(backbone).items()}


def save_state_dict(path, backbone="RN50"):
    torch.save(fake_state_dict(backbone), path)
    return path


def save_archive(path, tensors):
    """Write a TorchScript archive of nested modules, as OpenAI's checkpoints are."""
    root = torch.nn.Module()
    for name, tensor in tensors.items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if not hasattr(module, folder):
                module.add_module(folder, torch.nn.Module())
            module = getattr(module, folder)
        module.register_buffer(leaf, tensor)
    torch.jit.save(torch.jit.script(root), path)
    return path


def save_openai_like(path, backbone="ViT-B/32"):
    """Like OpenAI's file: a TorchScript archive in fp16, with OpenAI's three bookkeeping numbers."""
    bookkeeping = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77)}
    return save_archive(path, {**fake_state_dict(backbone), **bookkeeping, "vocab_size": torch.tensor(49408)})


class Trap:
    """Creates a file when it is unpickled: what a poisoned checkpoint would do."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


def poison_archive(path, victim):
    """Replace the description of an archive's modules, and its constants, by a trap."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    trap = pickle.dumps(Trap(victim), protocol=2)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, trap if name.endswith(("data.pkl", "constants.pkl")) else content)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
