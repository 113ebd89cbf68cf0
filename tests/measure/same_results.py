"""Whether two checkouts of the package give the same results; run as a script, as no test.

    python tests/measure/same_results.py OLD NEW PHOTOS [--tolerance 1e-5] [--only score ...]

The commands of ``checkouts/cases.txt`` and the documented Python API (``checkouts/api.py``) run in both checkouts, each
in a process of its own, with one thread, on the same seeded inputs and under the same absolute paths. Exit codes,
standard output and files are compared; durations are hidden. Of tables, only the numbers are compared, in the columns
that both sides have: notes and provenance are texts. Exit code: 0 all equal, or different as ``ALLOWED`` says;
1 anything else.
"""

import argparse
import fnmatch
import hashlib
import io
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy
import pandas
from checkouts.inputs import make_inputs
from timing import COMMAND, environment

HERE = Path(__file__).parent / "checkouts"
ALLOWED = {
    # (case, file), as glob patterns -> why they may differ
    ("*", "*.html"): "pages have another style sheet",
    ("*", "*.svg"): "curves are drawn from scores that differ in the seventh digit",
    ("*", "*.png"): "pictures have other words",
    ("help*", "stdout"): "options in other words and another order",
    ("train*", "out/log.csv"): "the log is a CSV file in place of TensorBoard's",
    ("train*", "out/state.pt"): "a run is identified by other settings",
    ("train*", "stdout"): "names the log",
    ("* table", "stdout"): "provenance has other fields",
    ("score [bf]*16", "stdout"): "mini's layers round elsewhere in half precision",
    ("api precisions", "stdout"): "mini's layers round elsewhere in half precision",
    ("api gradients", "stdout"): "mini's gradient differs in the fifth digit",
    ("compare few", "out/scores/*"): "one metric computes in bf16",
    ("compare*", "out/comparison.csv"): "seconds; a bf16 metric; the fitted curve has four parameters in place of five",
    ("compare*", "out/differences.csv"): "in a resample, a difference by rounding counts or not",
    ("compare*", "out/comparison.[mt]*"): "headings in other words",
    ("compare*", "stdout"): "headings in other words",
    ("pairs*", "out/summary.json"): "the ends of an interval have its name",
    ("rank*", "stdout"): "photos with equal scores are in order of name",
    ("train official", "*"): "a learning rate of 0.1 grows differences in the seventh digit of mini's features",
}
INTERNAL = ("*/parts/*", "*.sqlite*", "*.db*", "*.partial*", "*.lock", "*.journal", "*.provenance.json", "*tfevents*")
"""Files that nobody but the package, or TensorBoard, reads."""
WORDS = {"SMALL": "--backbone mini --max-side 256", "MINI": "--backbone mini", "IN/": "../../in/", "LONG": "very " * 90}
COMMANDS = ("score", "compare", "prompts", "train", "radar", "sweep", "pairs", "rank", "demo", "weights")
CALLS = ("reading", "scores", "gradients", "precisions", "learned")
"""Functions of ``api.py``."""
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
DURATION = re.compile(r"\d+\.\d+ (s\b|images/s|% of the time)")


def all_cases():
    """Return the name of each case and what Python runs, in order."""
    lines = [line for line in (HERE / "cases.txt").read_text().splitlines() if line and not line.startswith("#")]
    cases = {}
    for name, _, command in (line.partition(": ") for line in lines):
        for word, meaning in WORDS.items():
            command = command.replace(word, meaning)
        cases[name] = [*COMMAND, *shlex.split(command)]
    cases |= {f"help {name}": [*COMMAND, name, "--help"] for name in COMMANDS}
    return cases | {f"api {name}": [str(HERE / "api.py"), name] for name in CALLS}


def run_side(checkout, stage, cases, side):
    """Run the cases in ``stage/run``, the same path for both checkouts, and leave the results in ``stage/SIDE``."""
    variables = environment(checkout, stage)
    variables |= {
        "CLIPIQA_WEIGHTS_DIR": str(stage / "in/weights"),
        "SOURCE_DATE_EPOCH": "0",
    }  # the latter: dates in SVG
    for name, words in cases.items():
        folder = stage / "run" / name.replace(" ", "-")
        folder.mkdir(parents=True)
        with (folder / "stdout").open("wb") as out:
            command = [sys.executable, *words]
            ran = subprocess.run(command, cwd=folder, env=variables, stdout=out, stderr=subprocess.DEVNULL)
        (folder / "code").write_text(f"{ran.returncode}\n")
    (stage / "run").rename(stage / side)


def lines_of(path):
    """Return what a result file holds, as lines of text without durations."""
    if path.suffix in (".safetensors", ".pt"):
        import torch
        from safetensors.torch import load_file

        return _values("", load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True))
    try:
        return [DURATION.sub("…", line) for line in path.read_text("utf8").splitlines()]
    except UnicodeDecodeError:
        return [hashlib.sha256(path.read_bytes()).hexdigest()]


def table_of(path):
    """Return the table in a file by its path column, or None."""
    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    text = path.read_bytes().decode("utf8", "replace")
    rows = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    if rows.startswith("path,") or path.suffix == ".csv":
        return pandas.read_csv(io.StringIO(rows))
    return pandas.read_json(io.StringIO(rows), lines=True) if rows.startswith('{"path"') else None


def _values(name, value):
    if hasattr(value, "tolist"):
        value = value.flatten().double().tolist()
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [line for key, item in items for line in _values(f"{name}.{key}", item)]
    return [f"{name}: {value!r}"]


def differs(old, new, tolerance):
    """Return where two files part, or nothing."""
    if not (old.is_file() and new.is_file()):
        return f"not in {'NEW' if old.is_file() else 'OLD'}"
    tables = table_of(old), table_of(new)
    if not any(table is None for table in tables):
        names = tables[0].select_dtypes("number").columns.intersection(tables[1].columns)
        one, other = (table[names].apply(pandas.to_numeric, errors="coerce").to_numpy(float) for table in tables)
        if one.shape != other.shape:
            return f"{len(one)} rows ≠ {len(other)} rows"
        is_near = numpy.isclose(one, other, rtol=0, atol=tolerance, equal_nan=True).all(axis=0)
        return "" if is_near.all() else f"columns {', '.join(names[~is_near])}"
    one, other = lines_of(old), lines_of(new)
    for number, (a, b) in enumerate(zip(one, other, strict=False), 1):
        if NUMBER.split(a) != NUMBER.split(b) or any(
            abs(float(x) - float(y)) > tolerance
            for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
            if x != y
        ):
            return f"line {number}: {a[:100]!r} ≠ {b[:100]!r}"
    return "" if len(one) == len(other) else f"{len(one)} lines ≠ {len(other)} lines"


def compare(case, old, new, tolerance):
    """Print where a case's results differ; return ``'equal'``, ``'allowed'`` or ``'differs'``."""
    names = {str(path.relative_to(side)) for side in (old, new) for path in side.rglob("*") if path.is_file()}
    verdict = "equal"
    for name in sorted(name for name in names if not any(fnmatch.fnmatch(f"/{name}", each) for each in INTERNAL)):
        if found := differs(old / name, new / name, tolerance):
            allowed = [why for at, why in ALLOWED.items() if all(map(fnmatch.fnmatch, (case, name), at))]
            verdict = "allowed" if allowed and verdict != "differs" else "differs" if not allowed else verdict
            print(f"{case}, {name}: {allowed[0] if allowed else found}", flush=True)
    return verdict


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("old", "new", "photos"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose name begins with one of these")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of every number (default: 0)")
    args = parser.parse_args()
    cases = {name: words for name, words in all_cases().items() if name.startswith(tuple(args.only))}
    with tempfile.TemporaryDirectory(prefix="same-results-") as temporary:
        stage = Path(temporary).resolve()
        make_inputs(stage / "in", args.photos)
        for side, checkout in (("old", args.old), ("new", args.new)):
            run_side(checkout.resolve(), stage, cases, side)
        folders = {case: case.replace(" ", "-") for case in cases}
        counts = Counter(
            compare(case, stage / "old" / folder, stage / "new" / folder, args.tolerance)
            for case, folder in folders.items()
        )
    print(f"{len(cases)} cases:", dict(counts))
    return 1 if counts["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
