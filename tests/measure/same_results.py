"""Whether two checkouts of the package give the same results; run as a script, as no test.

    python tests/measure/same_results.py OLD NEW [--photos DIR] [--count 200] [--tolerance 1e-5] [--only score ...]

Every command, the documented Python API and every Python block of OLD's documents run in both checkouts, each in a
process of its own, with one thread, on the same seeded inputs and under the same absolute paths. Exit codes, standard
output and files are compared, and with ``--messages`` standard error too; durations, and the versions if they differ,
are hidden. Runs that OLD began, and that were killed, are resumed in both. Exit code: 0 all equal, or different as
``ALLOWED`` says; 1 anything else.
"""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from checkouts.cases import Case, all_cases
from checkouts.contents import Hide, first_difference, lines_of
from checkouts.inputs import doc_blocks, make_inputs
from checkouts.runner import CHECKOUT, Runner, environment, version_of

ALLOWED: dict[tuple[str, str], str] = {
    # (case, file), as glob patterns -> why they may differ between ff41959 (the second version) and this commit
    ("help*", "stdout"): "options in other words and another order",
    ("*", "*.html"): "pages have another style sheet",
    ("*", "*.svg"): "curves are drawn from scores that differ in the seventh digit",
    ("*", "*.png"): "pictures have other words",
    ("* bf16", "stdout"): "mini's tower rounds in other places; rounded and computed in fp32 where the CPU has no bf16",
    ("* fp16", "stdout"): "mini's tower rounds in other places",
    ("train official", "*"): "a learning rate of 0.1 grows differences in the seventh digit of mini's features",
    ("*", "*state.pt"): "the best correlations so far are kept in one mapping",
    ("prompts search", "*"): "pairs with words that mini never saw are left out",
    ("score table", "stdout"): "the line of provenance names the precision",
    ("score text", "*"): "the line of provenance names the precision",
    ("bad empty", "stdout"): "the line of provenance names the precision",
    ("bad none", "stdout"): "a new command",
    ("compare csv", "*"): "the fitted curve has four parameters and rises or falls everywhere",
    ("compare few", "*"): "mini's bf16 tower rounds in other places",
    ("compare *", "*.tex"): "worse differences are marked, by colour and sign",
    ("compare *", "*.md"): "the lines of provenance name the precision",
    ("compare *", "stdout"): "worse differences are marked; the lines of provenance name the precision",
    ("rank *", "stdout"): "a rule between the best and the worst",
    ("weights all", "stdout"): "other addresses",
    ("weights some", "*"): "the option is called --prompt-files",
    ("docs compare-1", "*"): "a room has another name",
    ("docs reproduce-1", "*"): "a room has another name",
    ("docs gate-1", "*"): "directions and how they are known are fields",
    ("docs table-1", "*"): "labels are short",
    ("docs maps-3", "*.npz"): "compared as a whole file; maps differ in the seventh digit",
    ("docs prompt-files-1", "stdout"): "provenance has more fields",
    ("docs readme-1", "stdout"): "provenance has more fields",
    ("api precisions", "stdout"): "mini's bf16 and fp16 towers round in other places",
}
INTERNAL = ("*/parts/*", "*.sqlite*", "*.db*", "*.part.jsonl", "*.partial*", "*.lock", "*.journal", "*.provenance.json")
"""Files between runs, which nobody but the package reads: the cases ``resume …`` see to them."""


def run_side(checkout: Path, stage: Path, cases: list[Case], side: str) -> None:
    """Run the cases in ``stage/run``, and leave the results in ``stage/SIDE``.

    Args:
        checkout: Whose package runs.
        stage: Where; the same path for both checkouts.
        cases: What to run.
        side: ``'old'`` or ``'new'``; runs that old begins, new goes on with.
    """
    link, run, started = stage / "checkout", stage / "run", stage / "started"
    link.unlink(missing_ok=True)
    link.symlink_to(checkout)
    run.mkdir()
    with Runner(environment(link, stage / "process", stage / "in/weights")) as runner:
        for case in cases:
            start, folder = time.perf_counter(), run / case.folder
            if case.name.startswith("docs"):
                shutil.copytree(stage / "in/blocks/files", folder)
                for place in (folder, folder / "runs/mine"):
                    shutil.copytree(run / "train-split/out", place, dirs_exist_ok=True)
            if case.name.startswith(("resume", "own")):
                if side == "new" and case.name.startswith("resume"):
                    shutil.copytree(started / f"old-{case.folder}", folder)
                else:
                    _run(runner, case.killed(), folder)
                    _tear(folder)
                    shutil.copytree(folder, started / f"{side}-{case.folder}")
                case = replace(case, command=f"{case.command} --resume")
            _run(runner, case, folder)
            print(f"  {side}, {case.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    shutil.rmtree(stage / "process")
    run.rename(stage / side)


def _run(runner: Runner, case: Case, folder: Path) -> None:
    ran = runner.run(case.argv, folder, case.script, case.stdin, case.stop, case.env, slow_clock=True)
    (folder / "code").write_text(f"{ran.code}\n")


def _tear(folder: Path) -> None:
    """Cut the last bytes off the rows that a killed run has left, as a kill in the middle of a write would."""
    for path in folder.rglob("*"):
        if path.suffix in (".csv", ".jsonl"):
            path.write_bytes(path.read_bytes()[:-7])


def compare(
    case: Case, old: Path, new: Path, hide: tuple[Hide, Hide], tolerance: float, messages: bool
) -> tuple[str, str]:
    """What became of a case: ``'equal'``, ``'allowed'`` or ``'differs'``, and where, or the reasons."""
    files = [_files(side / case.folder, case, messages) for side in (old, new)]
    reasons: list[str] = []
    unexpected: list[str] = []
    for name in sorted({*files[0], *files[1]}, key=lambda name: (name != "code", name != "stderr", name)):
        missing = [side for side, known in zip(("OLD", "NEW"), files, strict=True) if name not in known]
        if missing:
            found = f"not in {missing[0]}"
        elif files[0][name].read_bytes() == files[1][name].read_bytes():
            continue
        else:
            old_lines, new_lines = (lines_of(known[name], rule) for known, rule in zip(files, hide, strict=True))
            found = first_difference(old_lines, new_lines, tolerance)
        if found:
            reason = next((why for at, why in ALLOWED.items() if _fits(case.name, at[0]) and _fits(name, at[1])), None)
            (unexpected if reason is None else reasons).append(f"{name}: {reason or found}")
    if unexpected:
        return "differs", "; ".join(unexpected)
    return ("allowed", "; ".join(reasons)) if reasons else ("equal", "")


def _fits(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern)


def _files(folder: Path, case: Case, messages: bool) -> dict[str, Path]:
    """Name -> file to compare; the host, the time and the process are taken out of the names of TensorBoard's."""
    skipped = ("stderr",) * (not messages) if case.messages else ("code", "stdout", "stderr")
    files: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, log, _ = str(path.relative_to(folder)).partition(".tfevents.")
        if name not in skipped and not any(_fits(f"/{name}", pattern) for pattern in INTERNAL):
            files[f"{name}{log}{len(files) if log else ''}"] = path
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--photos", type=Path, default=CHECKOUT.parent / "shared/data/biq2021", help="folder")
    parser.add_argument("--count", type=int, default=200, help="photos drawn from it (default: 200)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="cases whose name begins with one of these"
    )
    parser.add_argument("--tolerance", type=float, default=0.0, help="of every number (default: 0)")
    parser.add_argument("--messages", action="store_true", help="compare standard error, too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for what both sides left")
    args = parser.parse_args()
    begin = time.perf_counter()
    old, new = args.old.resolve(), args.new.resolve()
    stage = (args.keep or Path(tempfile.mkdtemp(prefix="same-results-"))).resolve()
    try:
        return _main(args, old, new, stage, begin)
    finally:
        if not args.keep:
            shutil.rmtree(stage)


def _main(args: argparse.Namespace, old: Path, new: Path, stage: Path, begin: float) -> int:
    cases = all_cases(doc_blocks(old, stage / "in/blocks"))
    if args.only:
        wanted = [case for case in cases if case.name.startswith(tuple(args.only))]
        needed = " ".join("../train-split/" if case.script else case.command for case in wanted)
        cases = [case for case in cases if case in wanted or f"../{case.folder}/" in needed]
    seeded = not all(case.on_mini for case in cases)
    make_inputs(stage / "in", args.photos, args.count, seeded)
    versions = version_of(old), version_of(new)
    if versions[0] != versions[1]:
        print("the versions differ: as a run is resumed by the version that began it, this is not tried across them")
        cases = [case for case in cases if not case.name.startswith("resume")]
    (stage / "started").mkdir()
    for side, checkout in (("old", old), ("new", new)):
        run_side(checkout, stage, cases, side)
    hide = (Hide({str(old): "CHECKOUT", versions[0]: "VERSION"}), Hide({str(new): "CHECKOUT", versions[1]: "VERSION"}))
    counts = Counter[str]()
    for case in cases:
        verdict, said = compare(case, stage / "old", stage / "new", hide, args.tolerance, args.messages)
        counts[verdict] += 1
        code = (stage / "old" / case.folder / "code").read_text().strip()
        print(f"{case.name}: {verdict}{f', exit code {code}' if code != '0' else ''}{f' ({said})' if said else ''}")
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("equal", "allowed", "differs"))
    print(f"{len(cases)} cases: {summary}; {args.count} photos, {(time.perf_counter() - begin) / 60:.1f} minutes")
    return 1 if counts["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
