"""How fast images are encoded beside onnxruntime and OpenVINO, which run our own exported file; a script, no test.

    python tests/measure/runtime_pairs.py [--backbones mini RN50] [--threads 1 2] [--busy] [--precision bf16]

Each side has a process of its own, and they take turns, since threads of onnxruntime spin while they wait. Printed are
this package's milliseconds, then onnxruntime's time and OpenVINO's divided by ours, and OpenVINO's divided by
onnxruntime's: the median and the range of the rounds. A figure above 1 is in favour of the one that divides.
On one thread, times are processor time, which other programs change little; on more threads, they are those of a clock,
so the machine should be idle. Threads of this package wait as in commands (OMP_WAIT_POLICY=PASSIVE), or busily
(``--busy``). For AVX2 alone, which onnxruntime ignores, set ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
MKL_ENABLE_INSTRUCTIONS=AVX2.
"""

import os
import statistics
import time

import torch
from timing import alone, arguments, images, new_folder, ratio, row, seeded

from clipiqa_pyiqa import CLIPIQA, export_onnx
from clipiqa_pyiqa.workbench.images.system_memory import keep_memory

SIZES = ((64, 64), (224, 224), (384, 512), (768, 1024))
SECONDS = 1.5  # for each size and side


def encoder(side, backbone, threads, folder, precision):
    if side == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder / f"{backbone}.onnx", options, ["CPUExecutionProvider"])
        return lambda x: session.run(None, {"image": x.numpy()})
    if side == "OpenVINO":
        import openvino

        # on a CPU with bf16 instructions, OpenVINO would compute in bf16
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        model = openvino.compile_model(folder / f"{backbone}.onnx", "CPU", options)
        return lambda x: model({"image": x.numpy()})
    keep_memory()  # as commands do
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return CLIPIQA(**seeded(backbone, folder), precision=precision).eval().encode_image


def measured(side, backbone, threads, folder, precision):
    """Return a side's seconds of its fastest call for each size, in which other programs count least."""
    encode = encoder(side, backbone, threads, folder, precision)
    clock = time.process_time if threads == 1 else time.perf_counter
    fastest = []
    for size in SIZES:
        x = images(1, *size)
        taken = []
        encode(x), encode(x)
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or len(taken) < 3:
            start = clock()
            encode(x)
            taken.append(clock() - start)
        fastest.append(min(taken))
    return fastest


def main():
    args = arguments(backbones=["mini", "RN50"], threads=[1, os.cpu_count()], rounds=3, busy=False, precision="fp32")
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE" if args.busy else "PASSIVE"  # for the processes of the sides
    with new_folder() as folder:
        for backbone in args.backbones:
            export_onnx(CLIPIQA(**seeded(backbone, folder)).eval(), folder / f"{backbone}.onnx")
            for threads in args.threads:
                taken = {"onnxruntime": [], "OpenVINO": [], "ours": []}
                for number in range(args.rounds):
                    for side in list(taken)[:: 1 if number % 2 else -1]:
                        taken[side].append(alone(measured, side, backbone, threads, folder, args.precision))
                for place, (height, width) in enumerate(SIZES):
                    onnxruntime, openvino, ours = ([seconds[place] for seconds in rounds] for rounds in taken.values())
                    row(
                        *(backbone, threads, f"{height}×{width}", f"{1000 * statistics.median(ours):.2f} ms"),
                        *(ratio(onnxruntime, ours), ratio(openvino, ours), ratio(openvino, onnxruntime)),
                    )


if __name__ == "__main__":
    main()
