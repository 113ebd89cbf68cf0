"""Statistics of many images, computed once and kept in chunks, so that a run goes on from any minute."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .tower import Tower, load_imagenet

_tower: Tower | None = None


def tower() -> Tower:
    """The tower of this process."""
    global _tower
    if _tower is None:
        torch.set_num_threads(1)
        _tower = load_imagenet()
    return _tower


def to_tensor(image: Image.Image) -> torch.Tensor:
    """PIL -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


@torch.inference_mode()
def statistics(images: Sequence[Image.Image]) -> np.ndarray:
    """(N, S) in fp16; images of any sizes."""
    return np.stack([tower().statistics(to_tensor(image))[0].half().numpy() for image in images])


@torch.inference_mode()
def local_statistics(image: Image.Image) -> np.ndarray:
    """(H // 32, W // 32, S) in fp16."""
    return tower().local_statistics(to_tensor(image))[0].permute(1, 2, 0).half().numpy()


Columns = dict[str, np.ndarray]


def _write(index: int, make: Callable[[int], Columns], path: Path, size: int, count: int) -> None:
    torch.set_num_threads(1)
    rows = [make(i) for i in range(index * size, min(count, (index + 1) * size))]
    merged = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    path = path / f"{index:04d}.npz"
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, **merged)  # type: ignore[arg-type]
    part.replace(path)


def collect(
    name: str, count: int, make: Callable[[int], Columns], work: Path, size: int = 32, workers: int = 2
) -> Columns:
    """`make(0)` ... `make(count - 1)`, each some rows of the same columns, one below the other.

    `make` must depend on its index only. What is already in `work / name` is not computed again.
    """
    loaded = [np.load(path) for path in chunks(name, count, make, work, size, workers)]
    return {key: np.concatenate([part[key] for part in loaded]) for key in loaded[0].files}


def chunks(
    name: str, count: int, make: Callable[[int], Columns], work: Path, size: int = 32, workers: int = 2
) -> list[Path]:
    """The files that hold them, `size` in each, for what is too much to be held at once."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04d}.npz" for i in range((count + size - 1) // size)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    if missing:
        one = partial(_write, make=make, path=folder, size=size, count=count)
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            for _ in pool.imap_unordered(one, missing):
                pass
    return paths
