"""How long the jobs of a checkout take beside those of an older one, as processor time; run as a script, as no test.

    python tests/measure/two_checkouts.py OLD NEW PHOTOS [--niqe niqe_modelparameters.mat] [--rounds 5] [--jobs map ...]

A job runs in a process of its own, with one thread, in both checkouts in turns. Printed are the median seconds of both,
and the median and the range of the rounds' ratios new / old; of memory, the highest resident memory in the same way.
Linux only. Both checkouts are compiled first, or the one without compiled files would be compiled at every start.
"""

import compileall
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from timing import arguments, command_of, entry_points_of, environment, head, new_folder, ratio, row, seeded

# isort: split
from photos import BUNDLED

ROWS = 200_000
LINKS = 50_000  # file systems allow 65,000 names of a file
NUMBER = """
import sys
import torch
from clipiqa_pyiqa import score_paths
class Number:
    columns = ("number",)
    def encode_image(self, x): return x[:, :1, 0, 0]
    def score(self, features, *_): return features
    def provenance(self):
        return {"metric": "number", "scores": {"number": {"range": [0.0, 1.0], "lower_better": False}}}
torch.set_num_threads(1)
score_paths(Number(), sys.argv[1], out=sys.argv[2], resume=True, device="cpu", workers=1).run()
"""
LOSS = """
import torch
from clipiqa_pyiqa import CLIPIQALoss
torch.set_num_threads(1)
criterion = CLIPIQALoss(backbone="mini")
x = torch.rand(2, 3, 384, 384, generator=torch.Generator().manual_seed(0))
for _ in range(20):
    criterion(x.clone().requires_grad_()).backward()
"""
MAP = """
import torch
from clipiqa_pyiqa import CLIPIQA
torch.set_num_threads(1)
metric = CLIPIQA(backbone="mini").eval()
x = torch.rand(1, 3, 1024, 1536, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    for _ in range(10):
        metric.score_map(x)
"""
FAMILY = """
import sys
import torch
import pyiqa
from pyiqa.utils.registry import ARCH_REGISTRY
torch.set_num_threads(1)
name, option, file = sys.argv[1:]
metric = ARCH_REGISTRY.get(name)(**{option: file}).eval()
assert type(metric).__module__.startswith("clipiqa_pyiqa."), "built by pyiqa"
x = torch.rand(2, 3, 384, 512, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    for _ in range(8):
        metric(x)
"""
MEMORY = ("loss",)
"""Jobs whose memory is compared as well."""


def all_jobs(command, photos, niqe, folder):
    """Return what Python runs for each job in a checkout's folder; ``command`` is what it runs as ``clipiqa``."""
    score = [*command, "score", "--device", "cpu", "-q", "--format", "csv"]
    mini = [*score, "-b", "mini"]
    jobs = {
        "import": ["-c", "import clipiqa_pyiqa"],
        "first": [*mini, BUNDLED / "canyon-wren.jpg"],
        "photos": [*mini, photos],
        "small": ["-c", NUMBER, folder.parent / "small", folder / "small.csv"],
        "resumed": ["-c", NUMBER, folder.parent / "many", folder / "many.csv"],
        "loss": ["-c", LOSS],
        "map": ["-c", MAP],
        "maclip": ["-c", FAMILY, "MACLIP", "clip_weights", seeded("RN50", folder.parent)["clip_weights"]],
        "liqe": ["-c", FAMILY, "LIQE", "pretrained_model_path", folder.parent / "liqe.pt"],
    }
    if niqe:
        jobs["niqe"] = [*score, photos, "-m", f"niqe:pretrained_model_path={Path(niqe).resolve()}", "--processes", "2"]
    return jobs


def write_liqe(file):
    """Write a file as LIQE's, with a seeded tower."""
    tower = load_file(seeded("ViT-B/32", file.parent)["clip_weights"])
    torch.save({"params": {f"clip_model.{name}": tensor for name, tensor in tower.items()}}, file)


def link_images(folder, count):
    """Fill a folder with names of one tiny image."""
    folder.mkdir()
    image = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    for number in range(count):
        if number % LINKS == 0:
            first = folder / f"{number:07}.png"
            image.save(first)
        else:
            os.link(first, folder / f"{number:07}.png")


def cost(words, variables, folder):
    """Return the processor seconds and the megabytes that a process of Python takes."""
    with (folder / "messages").open("w+") as messages:
        process = subprocess.Popen(
            [sys.executable, *words], env=variables, cwd=folder, stdout=subprocess.DEVNULL, stderr=messages
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            messages.seek(0)
            raise SystemExit(f"exit code {os.waitstatus_to_exitcode(status)}: {messages.read()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main():
    args = arguments("old", "new", "photos", niqe="", rounds=5, jobs=[""])
    with new_folder() as stage:
        link_images(stage / "small", 2000)
        link_images(stage / "many", ROWS)
        write_liqe(stage / "liqe.pt")
        sides = {}
        for checkout in (args.old.resolve(), args.new.resolve()):
            compileall.compile_dir(checkout / "clipiqa_pyiqa", quiet=1)
            folder = stage / checkout.name
            folder.mkdir()
            command = command_of(entry_points_of(checkout, folder))
            jobs = all_jobs(command, args.photos.resolve(), args.niqe, folder)
            sides[checkout] = (jobs, environment(checkout, folder), folder)
        head("job", "old, s", "new, s", "new / old", "from, to")
        for name in jobs:
            if name.startswith(tuple(args.jobs)):
                compare(name, sides, args.rounds)


def compare(name, sides, rounds):
    """Print the rows of a job."""
    costs = {checkout: [] for checkout in sides}
    for number in range(rounds + 1):
        for checkout in list(sides)[:: 1 if number % 2 else -1]:
            jobs, variables, folder = sides[checkout]
            (folder / "small.csv").unlink(missing_ok=True)  # but many.csv is resumed from the second round on
            costs[checkout].append(cost(jobs[name], variables, folder))
    old, new = (taken[1:] for taken in costs.values())  # the first round does not count
    places = {"": 0, " (MB)": 1} if name in MEMORY else {"": 0}
    for unit, place in places.items():
        ours = [cost[place] for cost in new]
        theirs = [cost[place] for cost in old]
        row(name + unit, f"{statistics.median(theirs):.2f}", f"{statistics.median(ours):.2f}", ratio(ours, theirs))


if __name__ == "__main__":
    main()
