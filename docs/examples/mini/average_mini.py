"""Average the weights of several `mini` files that were trained from the same beginning: what one lost, others bring.

python average_mini.py FILE FILE [FILE ...] --shares 0.2 0.5 0.3 --output clipiqa_pyiqa/data/mini.safetensors
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file


def average(paths: list[Path], shares: list[float], output: Path) -> None:
    """Write the weighted mean of the files' tensors in fp16, with the metadata of the last."""
    files = [load_file(path) for path in paths]
    with safe_open(paths[-1], "pt") as file:
        metadata = {**file.metadata(), "averaged": json.dumps(shares)}
    tensors = {
        key: sum(share * file[key].double() for share, file in zip(shares, files, strict=True)).to(value.dtype)
        if value.is_floating_point()
        else value
        for key, value in files[-1].items()
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output, metadata=metadata)
    output.chmod(0o644)  # safetensors writes for the owner only; a package is read by everyone


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", required=True, help="one per file, adding up to 1")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if len(args.shares) != len(args.files) or abs(sum(args.shares) - 1) > 1e-6:
        raise SystemExit("--shares takes one share per file, and they add up to 1")
    average(args.files, args.shares, args.output)
