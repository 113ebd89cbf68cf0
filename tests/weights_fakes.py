"""Checkpoint files with a real architecture's names and shapes but a few kilobytes, and a local server to fetch them.

Every tensor is one number, expanded: ``torch.save`` and ``torch.jit.save`` store the one number and the shape.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import pickle
import struct
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from clipiqa_pyiqa.clip.architecture import architecture


def fake_state_dict(backbone: str = "RN50") -> dict[str, torch.Tensor]:
    """Every tensor that a backbone has, its numbers all 0.5."""
    half = torch.tensor(0.5, dtype=torch.float16)
    return {name: half.expand(shape) for name, shape in architecture(backbone).shapes.items()}


def save_state_dict(path: Path, backbone: str = "RN50") -> Path:
    torch.save(fake_state_dict(backbone), path)
    return path


def save_archive(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write a TorchScript archive of nested modules, as OpenAI's checkpoints are."""
    root = torch.nn.Module()
    for name, tensor in tensors.items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if folder not in module._modules:
                module.add_module(folder, torch.nn.Module())
            module = module.get_submodule(folder)
        module.register_buffer(leaf, tensor)
    torch.jit.save(torch.jit.script(root), path)
    return path


def save_openai_like(path: Path, backbone: str = "ViT-B/32") -> Path:
    """Like OpenAI's file: a TorchScript archive in fp16, with OpenAI's three bookkeeping numbers."""
    bookkeeping = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77)}
    return save_archive(path, {**fake_state_dict(backbone), **bookkeeping, "vocab_size": torch.tensor(49408)})


def save_sparse_safetensors(path: Path, backbone: str = "RN50") -> Path:
    """A whole safetensors file of zeros; most file systems store only its header."""
    header, end = {}, 0
    for name, shape in architecture(backbone).shapes.items():
        size = functools.reduce(int.__mul__, shape, 1)  # one byte per number
        header[name] = {"dtype": "BOOL", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    content = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(content)) + content)
        file.truncate(8 + len(content) + end)
    return path


class Trap:
    """Creates a file when it is unpickled: what a poisoned checkpoint would do."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


def poison_archive(path: Path, victim: Path) -> None:
    """Replace the description of an archive's modules, and its constants, by a trap."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    trap = pickle.dumps(Trap(victim), protocol=2)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, trap if name.endswith(("data.pkl", "constants.pkl")) else content)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Response:
    """What the server answers: a status, headers, a body, and how it spoils the delivery."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # send so many bytes, then hang up
    seconds: float = 0.0  # send the body in ten pieces over this time


@dataclass
class Server:
    url: str
    responses: dict[str, Response] = field(default_factory=dict)  # by path
    requests: list[str] = field(default_factory=list)  # 'GET /path', as they came


@contextmanager
def local_server() -> Iterator[Server]:
    """An HTTP server on this machine that gives prepared answers, 404 to all else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(f"{self.command} {self.path}")
            response = server.responses.get(self.path, Response(status=404, headers={"X-Error-Code": "EntryNotFound"}))
            self.send_response(response.status)
            for name, value in {"Content-Length": str(len(response.body)), **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            body = response.body[: response.cut_at]
            piece = max(1, len(body) // 10)
            for start in range(0, len(body), piece):
                self.wfile.write(body[start : start + piece])
                time.sleep(response.seconds / 10)

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        server = Server(f"http://127.0.0.1:{running.server_port}")
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()
