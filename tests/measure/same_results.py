"""Whether two checkouts of the package give the same results; run as a script, as no test.

    python tests/measure/same_results.py OLD NEW PHOTOS [--tolerance 1e-5] [--only score ...]

The commands of ``checkouts/cases.txt`` and the documented Python API (``checkouts/api.py``) run in both checkouts, each
in a process of its own, with one thread, on the same seeded inputs and under the same absolute paths. Exit codes,
standard output and files are compared, but no pages, pictures and files that only the package reads; durations are
hidden. Of tables, only the numbers are compared, in the columns that both sides have: notes and provenance are texts.
The number of compared numbers is printed. Exit code: 0 all equal; 1 anything else.
"""

import fnmatch
import io
import re
import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import numpy
import pandas
from checkouts.inputs import make_inputs
from safetensors.numpy import load_file
from timing import COMMAND, arguments, environment, new_folder

HERE = Path(__file__).parent / "checkouts"
IGNORED = ("*.html", "*.svg", "*.png", "*.pt", "*/parts/*", "*.partial*", "*.lock", "*.journal", "*.provenance.json")
WORDS = {"SMALL": "--backbone mini --max-side 256", "MINI": "--backbone mini", "IN/": "../../in/", "LONG": "very " * 90}
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
DURATION = re.compile(r"\d+\.\d+ (s\b|images/s|% of the time)")


def all_cases():
    """Return the name of each case and what Python runs, in order."""
    cases = {}
    for line in (HERE / "cases.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, command = line.partition(": ")
            for word, meaning in WORDS.items():
                command = command.replace(word, meaning)
            cases[name.replace(" ", "-")] = [*COMMAND, *shlex.split(command)]
    return cases | {f"api-{name}": [HERE / "api.py", name] for name in ("scores", "gradients")}


def run_side(checkout, stage, cases):
    """Run the cases in ``stage/run``, the same path for both checkouts."""
    variables = environment(checkout.resolve(), stage) | {"CLIPIQA_WEIGHTS_DIR": str(stage / "in/weights")}
    for name, words in cases.items():
        folder = stage / "run" / name
        folder.mkdir(parents=True)
        ran = subprocess.run([sys.executable, *words], cwd=folder, env=variables, capture_output=True)
        (folder / "stdout").write_bytes(ran.stdout)
        (folder / "code").write_text(f"{ran.returncode}\n")


def table_of(path):
    """Return the table in a file, or None."""
    if path.suffix == ".safetensors":
        return pandas.DataFrame({name: pandas.Series(tensor.ravel()) for name, tensor in load_file(path).items()})
    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    lines = path.read_text("utf8", "replace").splitlines(keepends=True)
    rows = "".join(line for line in lines if not line.startswith("#"))
    if rows.startswith('{"path"'):
        return pandas.read_json(io.StringIO(rows), lines=True)
    return pandas.read_csv(io.StringIO(rows)) if path.suffix == ".csv" or rows.startswith("path,") else None


def differs(old, new, tolerance):
    """Return where two files part, or nothing; and how many numbers were compared."""
    if not (old.is_file() and new.is_file()):
        return f"not in {'NEW' if old.is_file() else 'OLD'}", 0
    tables = table_of(old), table_of(new)
    if any(table is None for table in tables):
        texts = [DURATION.sub("…", path.read_text("utf8", "replace")) for path in (old, new)]
        for one, other in zip_longest(*(NUMBER.sub("#", text).splitlines() for text in texts), fillvalue=""):
            if one.split() != other.split():
                return f"{one[:100]!r} ≠ {other[:100]!r}", 0
        tables = [pandas.DataFrame({"of text": NUMBER.findall(text)}, dtype=float) for text in texts]
    if len(tables[0]) != len(tables[1]):
        return f"{len(tables[0])} ≠ {len(tables[1])} rows or numbers", 0
    one, other = (table.select_dtypes("number") for table in tables)
    names = [name for name in one.columns.intersection(other.columns) if "seconds" not in name]
    far = [name for name in names if not numpy.allclose(one[name], other[name], rtol=0, atol=tolerance, equal_nan=True)]
    return f"numbers {', '.join(far)}" if far else "", len(names) * len(one)


def is_equal(case, old, new, tolerance):
    """Return whether a case's results are equal, and how many numbers were compared; print where they differ."""
    names = {str(path.relative_to(side)) for side in (old, new) for path in side.rglob("*") if path.is_file()}
    compared = sorted(name for name in names if not any(fnmatch.fnmatch(f"/{name}", each) for each in IGNORED))
    found = {name: differs(old / name, new / name, tolerance) for name in compared}
    for name, (why, _) in found.items():
        if why:
            print(f"{case}, {name}: {why}")
    return not any(why for why, _ in found.values()), sum(count for _, count in found.values())


def main():
    args = arguments("old", "new", "photos", tolerance=0.0, only=[""])
    cases = {name: words for name, words in all_cases().items() if name.startswith(tuple(args.only))}
    with new_folder() as stage:
        make_inputs(stage / "in", args.photos)
        for side in ("old", "new"):
            run_side(getattr(args, side), stage, cases)
            (stage / "run").rename(stage / side)
        found = [is_equal(case, stage / "old" / case, stage / "new" / case, args.tolerance) for case in cases]
    equal, counts = zip(*found, strict=True)
    print(f"{sum(equal)} of {len(cases)} cases are equal; {sum(counts):,} numbers were compared")
    return not all(equal)


if __name__ == "__main__":
    sys.exit(main())
