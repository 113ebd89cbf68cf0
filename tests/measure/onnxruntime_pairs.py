"""How fast images are encoded beside onnxruntime, which runs our own exported file; run as a script, as no test.

    python tests/measure/onnxruntime_pairs.py [--backbones mini RN50] [--threads 1 2] [--busy] [--precision bf16]

Each side has a process of its own, and they take turns, since threads of onnxruntime spin while they wait. Printed is
onnxruntime's time divided by ours, the median and the range of the rounds: 1 is onnxruntime's rate, more is faster.
Threads of this package wait as in commands (OMP_WAIT_POLICY=PASSIVE), or busily (``--busy``). For AVX2 alone, which
onnxruntime ignores, set ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from timing import images, ratio

from clipiqa_pyiqa import CLIPIQA, export_onnx
from clipiqa_pyiqa.images.memory import keep_memory

SIZES = [(64, 64), (224, 224), (384, 512), (768, 1024)]


def metric_of(backbone, folder, precision="fp32"):
    seeded = {"clip_weights": folder / f"{backbone}.safetensors", "quick_gelu": True}
    return CLIPIQA(backbone=backbone, precision=precision, **({} if backbone == "mini" else seeded)).eval()


def encoder(side, backbone, threads, folder, precision):
    if side == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = str(folder / f"{backbone}.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"image": x.numpy()})
    keep_memory()  # as commands do
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return metric_of(backbone, folder, precision).encode_image


def measure(encode, seconds):
    """Print the median seconds for an image of each size."""
    for size in SIZES:
        x, taken = images(1, *size), list[float]()
        encode(x), encode(x)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(taken) < 3:
            start = time.perf_counter()
            encode(x)
            taken.append(time.perf_counter() - start)
        print(statistics.median(taken))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["mini", "RN50"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="for each size and side (default: 0.7)")
    parser.add_argument("--busy", action="store_true", help="threads of this package spin while they wait")
    parser.add_argument("--precision", default="fp32", help="of this package; onnxruntime's is fp32")
    parser.add_argument("--folder", type=Path, help="keep weights and exported files here")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side, backbone, threads = args.side
        measure(encoder(side, backbone, int(threads), args.folder, args.precision), args.seconds)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        variables = os.environ | {"OMP_WAIT_POLICY": "ACTIVE" if args.busy else "PASSIVE"}
        for backbone in args.backbones:
            if not (folder / f"{backbone}.onnx").exists():
                from seeded import save_seeded

                if backbone != "mini":
                    save_seeded(folder, backbone)
                export_onnx(metric_of(backbone, folder), folder / f"{backbone}.onnx")
            for threads in args.threads:
                taken = {"onnxruntime": [], "ours": []}
                for number in range(args.rounds):
                    for side in list(taken)[:: 1 if number % 2 else -1]:
                        command = [sys.executable, __file__, "--side", side, backbone, str(threads)]
                        command += ["--folder", str(folder), "--seconds", str(args.seconds)]
                        command += ["--precision", args.precision]
                        done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
                        taken[side].append([float(line) for line in done.stdout.split()])
                for place, (height, width) in enumerate(SIZES):
                    theirs, ours = ([each[place] for each in taken[side]] for side in taken)
                    print(
                        f"| {backbone} | {threads} | {height}×{width} | {1000 * statistics.median(ours):.2f} ms | "
                        f"{ratio(theirs, ours)} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
