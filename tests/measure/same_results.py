"""Whether two checkouts of the package give the same results; run as a script, as no test.

    python tests/measure/same_results.py OLD NEW PHOTOS [--tolerance 1e-5] [--only score ...]

The commands of ``checkouts/cases.txt`` and the documented Python API (``checkouts/api.py``) run in both checkouts, each
in a process of its own, with one thread, on the same seeded inputs and under the same absolute paths. Each checkout's
``setup.py`` names the module behind the command ``clipiqa``. Exit codes, standard output and files are compared, but no
pages, pictures and files that only the package reads; times are hidden. Of tables and arrays, only the numbers are
compared, in the columns of OLD, of which NEW must lack none: notes and provenance are texts. Of an exported ONNX file,
the scores in onnxruntime are compared. The number of compared numbers is printed. Exit code: 0 all equal; 1 anything
else.
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
from timing import arguments, command_of, entry_points_of, environment, new_folder

HERE = Path(__file__).parent / "checkouts"
MESSAGES = "stderr"
"""The file of a case's messages, which are not compared: they are printed where its exit code differs."""
IGNORED = ("*.html", "*.svg", "*.png", "*.pt", "*/parts/*", "*.partial*", "*.lock")
IGNORED += ("*.journal", "*.provenance.json", "*.onnx", f"/{MESSAGES}")
WORDS = {"SMALL": "--backbone mini --max-side 256", "MINI": "--backbone mini", "IN/": "../../in/", "LONG": "very " * 90}
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
API = ("scores", "gradients", "shares", "towers", "maps", "family", "interfaces", "exported")
"""Functions of ``checkouts/api.py``."""
TIME = re.compile(r"\d+\.\d+ (s\b|images/s|% of the time)|\d{4}-\d\d-\d\dT[\d:.+]+")
"""Durations and moments, which differ between any two runs."""
FILE_HASH = re.compile(r'("[^"/]+\.(?:csv|html|md|tex)": )"[0-9a-f]{64}"')
"""The hash of a result in ``provenance.json``: results hold times."""
LAST_NUMBER = re.compile(r"\d+(?:\.\d+)?(?=\D*$)")


def all_commands():
    """Return the name of each case of a command, and the words behind ``clipiqa``, in order."""
    commands = {}
    for line in (HERE / "cases.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, command = line.partition(": ")
            for word, meaning in WORDS.items():
                command = command.replace(word, meaning)
            commands[name.replace(" ", "-")] = shlex.split(command)
    return commands


def all_cases(command):
    """Return the name of each case and what Python runs, in order; ``command`` is what it runs as ``clipiqa``."""
    cases = {name: [*command, *words] for name, words in all_commands().items()}
    return cases | {f"api-{name}": [HERE / "api.py", name] for name in API}


def run_side(checkout, stage, chosen):
    """Run the cases whose names begin with a chosen text in ``stage/run``, the same path for both checkouts."""
    checkout = checkout.resolve()
    variables = environment(checkout, stage) | {"CLIPIQA_WEIGHTS_DIR": str(stage / "in/weights")}
    for name, words in all_cases(command_of(entry_points_of(checkout, stage))).items():
        if not name.startswith(chosen):
            continue
        folder = stage / "run" / name
        folder.mkdir(parents=True)
        ran = subprocess.run([sys.executable, *words], cwd=folder, env=variables, capture_output=True)
        (folder / "stdout").write_bytes(ran.stdout.replace(bytes(checkout), b"CHECKOUT"))
        (folder / MESSAGES).write_bytes(ran.stderr)
        (folder / "code").write_text(f"{ran.returncode}\n")


def table_of(path):
    """Return the table in a file, or None; arrays of any shape are columns."""
    if path.suffix == ".safetensors":
        return table_of_arrays(load_file(path))
    if path.suffix == ".npz":
        with numpy.load(path) as arrays:
            return table_of_arrays(arrays)
    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    lines = path.read_text("utf8", "replace").splitlines(keepends=True)
    rows = "".join(line for line in lines if not line.startswith("#"))
    if rows.startswith('{"path"'):
        return pandas.read_json(io.StringIO(rows), lines=True)
    is_csv = path.suffix == ".csv" or rows.startswith(("path,", "data_set,"))
    return pandas.read_csv(io.StringIO(rows)) if is_csv else None


def table_of_arrays(arrays):
    return pandas.DataFrame({name: pandas.Series(array.ravel()) for name, array in arrays.items()})


def text_of(path):
    """Return a file's text without times and widths of columns; times per image end the rows of a printed table."""
    lines = []
    is_timed = False
    for line in path.read_text("utf8", "replace").splitlines():
        if "ms/image" in line:
            is_timed = True
        elif not line.strip():
            is_timed = False
        lines.append(LAST_NUMBER.sub("…", line) if is_timed else line)
    text = FILE_HASH.sub(r"\1…", TIME.sub("…", "\n".join(lines)))
    return re.sub("-{3,}", "---", text)


def differs(old, new, tolerance):
    """Return where two files part, or nothing; and how many numbers were compared."""
    if not (old.is_file() and new.is_file()):
        return f"not in {'NEW' if old.is_file() else 'OLD'}", 0
    tables = table_of(old), table_of(new)
    if any(table is None for table in tables):
        texts = [text_of(path) for path in (old, new)]
        for one, other in zip_longest(*(NUMBER.sub("#", text).splitlines() for text in texts), fillvalue=""):
            if one.split() != other.split():
                return f"{one[:100]!r} ≠ {other[:100]!r}", 0
        tables = [pandas.DataFrame({"of text": NUMBER.findall(text)}, dtype=float) for text in texts]
    if len(tables[0]) != len(tables[1]):
        return f"{len(tables[0])} ≠ {len(tables[1])} rows or numbers", 0
    one, other = (table.select_dtypes("number") for table in tables)
    names = [name for name in one if "seconds" not in str(name)]
    missing = [name for name in names if name not in other]
    if missing:
        return f"no numbers in NEW: {', '.join(map(str, missing))}", 0
    far = [name for name in names if not numpy.allclose(one[name], other[name], rtol=0, atol=tolerance, equal_nan=True)]
    return f"numbers {', '.join(map(str, far))}" if far else "", len(names) * len(one)


def is_equal(case, old, new, tolerance):
    """Return whether a case's results are equal, and how many numbers were compared; print where they differ."""
    names = {str(path.relative_to(side)) for side in (old, new) for path in side.rglob("*") if path.is_file()}
    compared = sorted(name for name in names if not any(fnmatch.fnmatch(f"/{name}", pattern) for pattern in IGNORED))
    differences = {name: differs(old / name, new / name, tolerance) for name in compared}
    for name, (why, _) in differences.items():
        if why:
            print(f"{case}, {name}: {why}")
    if differences["code"][0]:
        for side, folder in (("OLD", old), ("NEW", new)):
            print(f"  {side}: exit code {(folder / 'code').read_text().strip()}; {last_line(folder / MESSAGES)}")
    return not any(why for why, _ in differences.values()), sum(count for _, count in differences.values())


def last_line(path):
    lines = path.read_text("utf8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")


def main():
    args = arguments("old", "new", "photos", tolerance=0.0, only=[""])
    with new_folder() as stage:
        make_inputs(stage / "in", args.photos)
        for side in ("old", "new"):
            run_side(getattr(args, side), stage, tuple(args.only))
            (stage / "run").rename(stage / side)
        cases = sorted(path.parent.name for path in (stage / "old").glob("*/code"))
        compared = [is_equal(case, stage / "old" / case, stage / "new" / case, args.tolerance) for case in cases]
    count_of_equal = sum(equal for equal, _ in compared)
    count_of_numbers = sum(count for _, count in compared)
    print(f"{count_of_equal} of {len(cases)} cases are equal; {count_of_numbers:,} numbers were compared")
    return count_of_equal < len(cases)


if __name__ == "__main__":
    sys.exit(main())
