"""mini's tower beside RN50's, in CPU seconds of one thread.

python tests/measure/mini_tower.py [--rounds 4]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timing import images, in_turns

from clipiqa_pyiqa import CLIPIQA


def do(encode: Any, x: torch.Tensor, gradient: bool) -> None:
    """Encode, and take the gradient to the pixels."""
    with torch.set_grad_enabled(gradient):
        result = encode(x.clone().requires_grad_(gradient))
        if gradient:
            result.sum().backward()


def main() -> None:
    from seeded import save_seeded

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="of which the fastest counts (default: 4)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rn50 = CLIPIQA(clip_weights=save_seeded(Path(folder), "RN50"), quick_gelu=True).eval()
    mini, half = CLIPIQA(backbone="mini").eval(), CLIPIQA(backbone="mini", precision="bf16").eval()
    for height, width, gradient in ((224, 224, False), (768, 1024, False), (512, 512, True)):
        encoders: dict[str, Any] = {"RN50": rn50.encode_image, "mini": mini.encode_image}
        if not gradient:
            encoders |= {"mini, score and map": mini.encode_with_map, "mini, bf16": half.encode_image}
        x = images(1, height, width)
        works = {name: partial(do, encode, x, gradient) for name, encode in encoders.items()}
        for name, seconds in in_turns(works, args.rounds, time.process_time).items():
            kind = "forward and backward" if gradient else "forward"
            print(f"1×{height}×{width} {kind}: {name} {min(seconds):.3f} s")


if __name__ == "__main__":
    main()
