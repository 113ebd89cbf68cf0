"""How fast our metrics are beside pyiqa's own classes on the same seeded weights; run as a script, as no test.

    python tests/measure/speed.py [--family] [--rounds 5] [--threads 2] [--precision bf16] [--device cuda]

The two take turns, so that other work on the machine disturbs both alike; printed are the median seconds of each, and
the median and the range of the rounds' ratios pyiqa's / ours. Peak memory is what a fresh process needs beyond the
loaded network and the images (Linux; none for CUDA). Creation begins with all modules imported, the file's hash known
and pyiqa's caches empty. Of CLIP-IQA, both sides ask pyiqa's five pairs of RN50. ``--family``: the other metrics, in
fp32; pyiqa's maclip scores one image a call, so a batch of eight is scored one by one there. pyiqa's classes need
openai's ``clip``, and so setuptools before 82. Compare on an idle machine.
"""

import statistics
import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from pyiqa.archs import clipiqa_arch
from pyiqa.archs.clip_model import build_model
from safetensors.torch import load_file
from timing import alone, arguments, head, images, in_turns, new_folder, peak, ratio, row, seeded  # and a path

# isort: split
from reference import builders, on_cpu

from clipiqa_pyiqa import CLIPIQA

FAMILY = {"maclip": "RN50", "qualiclip": "RN50", "liqe": "ViT-B/32", "laion_aes": "ViT-L/14"}
SMALL = (1, 224, 224)
EIGHT = (8, 224, 224)
LARGE = (1, 768, 1024)
WORKS = [("create", SMALL), ("score", LARGE), ("score", EIGHT)]
MORE = [("score", SMALL), ("score", (1, 384, 512))]
MORE += [("loss", shape) for shape in ((4, 512, 512), (16, 512, 512), (1, 1024, 1024), (16, 128, 128))]
SIDES = ("ours", "pyiqa's")


def builders_of(name, folder, precision):
    """Return both sides' builders on the weights in a folder, with files of their own in a new one below it."""
    given = seeded(FAMILY.get(name, "RN50"), folder)
    weights = given["clip_weights"]
    if name in FAMILY:
        both = builders(name, weights, Path(tempfile.mkdtemp(dir=folder)), given["backbone"])
    else:
        clipiqa_arch.load = lambda *_: build_model(load_file(weights)).float()
        both = partial(CLIPIQA, **given, prompts="pyiqa", precision=precision), clipiqa_arch.CLIPIQA
    return dict(zip(SIDES, both, strict=True))


def do(net, work, x, count):
    """Score some images at a time, after creation or not, or take the gradient of the mean score to the pixels."""
    if work == "loss":
        net(x.clone().requires_grad_()).mean().backward()
    else:
        net = net().to(x.device).eval() if work == "create" else net
        with torch.no_grad():
            for part in x.split(count):
                net(part)
    if x.is_cuda:
        torch.cuda.synchronize()  # times are of finished work


def memory(side, count, work, shape, threads, *given):
    """Return the megabytes that this process needs for one work."""
    torch.set_num_threads(threads)
    with on_cpu():
        net = builders_of(*given)[side]().eval()
        x = images(*shape)
        do(net, "score", images(*SMALL), 1)  # what is made once
        return peak(lambda: do(net, work, x, count))


def main():
    args = arguments(family=False, rounds=5, threads=torch.get_num_threads(), precision="fp32", device="cpu")
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args}\n")
    head("work", "ours, s", "pyiqa's, s", "ratio", "range", "ours, MB", "pyiqa's, MB")
    with on_cpu() if args.device == "cpu" else nullcontext(), new_folder() as folder:
        names = FAMILY if args.family else ["clipiqa"]
        works = WORKS if args.family else WORKS + MORE
        for name in names:
            given = name, folder, args.precision
            build = builders_of(*given)
            nets = {side: build[side]().to(args.device).eval() for side in SIDES}
            for work, shape in works:
                x = images(*shape).to(args.device)
                peaks = ["–", "–"]
                counts = {"ours": len(x), "pyiqa's": 1 if args.family else len(x)}
                of = build if work == "create" else nets
                taken = in_turns({side: partial(do, of[side], work, x, counts[side]) for side in SIDES}, args.rounds)
                seconds = (f"{statistics.median(taken[side]):.3f}" for side in SIDES)
                if args.device == "cpu" and work != "create":
                    more = (work, shape, args.threads, *given)
                    peaks = (f"{alone(memory, side, counts[side], *more):.0f}" for side in SIDES)
                what = f"{name}, {work} {'×'.join(map(str, shape))}"
                row(what, *seconds, ratio(taken["pyiqa's"], taken["ours"]), *peaks)


if __name__ == "__main__":
    main()
