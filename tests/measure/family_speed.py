"""Time and memory of the family's metrics beside pyiqa's own classes, as ratios; run as a script, as no test.

    python tests/measure/family_speed.py [--rounds 5] [--threads 2]

Both sides take turns on the same seeded weights, in fp32; a ratio is pyiqa's time by ours, the median of the rounds.
pyiqa's maclip scores one image a call, so a batch of eight is scored one by one there. Creation begins with all modules
imported, the file's hash known and pyiqa's caches empty. Needs openai's clip and 'setuptools<82'.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from timing import alone, images, in_turns, peak, ratio

BACKBONES = {"maclip": "RN50", "qualiclip": "RN50", "liqe": "ViT-B/32", "laion_aes": "ViT-L/14"}
LARGE, SMALL, BATCH = (1, 768, 1024), (1, 224, 224), (8, 224, 224)


def score(net, x, singly=False):
    """Score a batch, or its images one by one."""
    with torch.no_grad():
        for part in x.split(1) if singly else [x]:
            net(part)


def builders_of(name, folder):
    """Return both sides' builders on the weights in a folder, with files of their own in a new one below it."""
    from family_pairs import builders
    from seeded import save_seeded

    weights = folder / f"{BACKBONES[name].replace('/', '-')}.safetensors"
    if not weights.exists():
        save_seeded(folder, BACKBONES[name])
    return builders(name, weights, Path(tempfile.mkdtemp(dir=folder)), BACKBONES[name])


def memory(side, name, folder, threads):
    """Return the megabytes that this process needs for a large image beyond the loaded metric."""
    from family_pairs import on_cpu

    torch.set_num_threads(threads)
    with on_cpu():
        net, x = builders_of(name, folder)[side](), images(*LARGE)
        score(net, images(*SMALL))  # what is made once
        return peak(lambda: score(net, x))


def main():
    from family_pairs import on_cpu

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| work | ours | pyiqa's | ratio | range |\n" + "|---" * 5 + "|")
    with on_cpu(), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in BACKBONES:
            ours, theirs = builders_of(name, folder)
            nets, small = (ours(), theirs()), images(*SMALL)
            works = {
                "creation": (ours, theirs),
                "creation and 1×224²": (lambda: score(ours(), small), lambda: score(theirs(), small)),  # noqa: B023
            }
            for shape in (LARGE, BATCH):
                x = images(*shape)
                works["×".join(map(str, shape))] = (
                    lambda x=x: score(nets[0], x),  # noqa: B023
                    lambda x=x: score(nets[1], x, singly=True),  # noqa: B023
                )
            for what, pair in works.items():
                taken = in_turns(dict(zip(("ours", "theirs"), pair, strict=True)), args.rounds)
                seconds = " | ".join(f"{statistics.median(side):.3f} s" for side in taken.values())
                print(f"| {name}, {what} | {seconds} | {ratio(taken['theirs'], taken['ours'])} |", flush=True)
            peaks = " | ".join(f"{alone(memory, side, name, folder, args.threads):.0f} MB" for side in (0, 1))
            print(f"| {name}, peak memory | {peaks} | | |", flush=True)


if __name__ == "__main__":
    main()
