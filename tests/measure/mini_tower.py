"""mini's tower beside RN50's, in CPU seconds of one thread; the figures of docs/performance.md.

python tests/measure/mini_tower.py [--rounds 4]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from clipiqa_pyiqa import CLIPIQA

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from seeded import save_seeded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="of which the fastest counts (default: 4)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        weights = save_seeded(Path(folder), "RN50")
        rn50 = CLIPIQA(clip_weights=weights, quick_gelu=True).eval()
        mini, half = (CLIPIQA(backbone="mini", precision=precision).eval() for precision in ("fp32", "bf16"))  # type: ignore[arg-type]
        for height, width, gradient in ((224, 224, False), (512, 512, False), (768, 1024, False), (512, 512, True)):
            x = torch.rand(1, 3, height, width)
            works: dict[str, Callable[[torch.Tensor], object]] = {"RN50": rn50.encode_image, "mini": mini.encode_image}
            if not gradient:
                works |= {"mini, score and map": mini.encode_with_map, "mini, bf16": half.encode_image}
            fastest = dict.fromkeys(works, float("inf"))
            for _ in range(args.rounds + 1):
                for name, work in works.items():
                    fastest[name] = min(fastest[name], seconds(work, x, gradient))
            for name, best in fastest.items():
                kind = "forward and backward" if gradient else "forward"
                print(f"1×{height}×{width} {kind}: {name} {best:.3f} s, {best / fastest['RN50']:.2f} of RN50's")


def seconds(work: Callable[[torch.Tensor], object], x: torch.Tensor, gradient: bool) -> float:
    """CPU seconds of a call, and of its gradient to the pixels."""
    x = x.clone().requires_grad_(gradient)
    start = time.process_time()
    with torch.set_grad_enabled(gradient):
        result = work(x)
        if gradient:
            result.sum().backward()  # type: ignore[attr-defined]
    return time.process_time() - start


if __name__ == "__main__":
    main()
