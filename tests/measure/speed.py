"""How fast our metric is beside pyiqa's own class on the same seeded weights; run as a script, as no test.

    python tests/measure/speed.py [--rounds 5] [--precision bf16] [--device cuda]

The two take turns, so that other work on the machine disturbs both alike; printed are the median seconds of each, and
the median and the range of the rounds' ratios ours / pyiqa's. Peak memory is what a fresh process needs beyond the
loaded network (Linux; none for CUDA). Both sides ask pyiqa's five pairs of RN50. pyiqa's class needs openai's
``clip``, and so setuptools before 82. Compare on an idle machine.
"""

import statistics
from functools import partial

import torch
from safetensors.torch import load_file
from timing import alone, arguments, head, images, in_turns, new_folder, peak, ratio, row, seeded

from clipiqa_pyiqa import CLIPIQA

SHAPES = {  # of the images of each work
    "score": ((1, 224, 224), (8, 224, 224), (1, 384, 512), (1, 768, 1024)),
    "loss": ((4, 512, 512), (16, 512, 512), (1, 1024, 1024), (16, 128, 128)),
}
SIDES = ("ours", "pyiqa's")


def built(side, folder, precision):
    """Return a side's network."""
    if side == "ours":
        return CLIPIQA(**seeded("RN50", folder), prompts="pyiqa", precision=precision).eval()
    from pyiqa.archs import clip_model, clipiqa_arch

    tensors = {key: value.float() for key, value in load_file(seeded("RN50", folder)["clip_weights"]).items()}
    clipiqa_arch.load = lambda *_: clip_model.build_model(tensors).float()
    return clipiqa_arch.CLIPIQA().eval()


def do(net, work, x):
    """Score, or take the gradient of the mean score to the pixels."""
    if work == "loss":
        net(x.requires_grad_()).mean().backward()
        x.grad = None
    else:
        with torch.no_grad():
            net(x)
    if x.is_cuda:
        torch.cuda.synchronize()  # times are of finished work


def memory(work, shape, threads, *network):
    """Return the megabytes that this process needs for one work."""
    torch.set_num_threads(threads)
    net = built(*network)
    do(net, "score", images(1, 64, 64))  # what is made once
    return peak(lambda: do(net, work, images(*shape)))


def main():
    args, threads = arguments(rounds=5, precision="fp32", device="cpu"), torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {args.device}, {args.precision}, {args.rounds} rounds\n")
    head("work", "ours, s", "pyiqa's, s", "ratio", "range", "ours, MB", "pyiqa's, MB")
    with new_folder() as folder:
        networks = {side: (side, folder, args.precision) for side in SIDES}
        nets = {side: built(*network).to(args.device) for side, network in networks.items()}
        for work, shape in ((work, shape) for work, shapes in SHAPES.items() for shape in shapes):
            x = images(*shape).to(args.device)
            taken = in_turns({side: partial(do, net, work, x) for side, net in nets.items()}, args.rounds)
            seconds = (f"{statistics.median(taken[side]):.3f}" for side in SIDES)
            peaks = ["–", "–"]
            if args.device == "cpu":
                peaks = (f"{alone(memory, work, shape, threads, *networks[side]):.0f}" for side in SIDES)
            row(f"{work} {'×'.join(map(str, shape))}", *seconds, ratio(taken["ours"], taken[SIDES[1]]), *peaks)


if __name__ == "__main__":
    main()
