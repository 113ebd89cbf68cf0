"""How many real photos get a flag, as they are and after their values were darkened or brightened in steps.

python tests/measure/uniform.py FOLDER ... [--every 5]

Darkened: every value is multiplied by the step, and rounded to 8 bits as in a file. Brightened: so is its distance
from white. Overexposed: multiplied by a number above 1, and clipped. All photos are counted as they are, and every
fifth in steps.

Dark photos: those of BIQ2021's 80 darkest that show, to the eye, a scene at night or a subject before black; also at
half their values.
"""

from pathlib import Path

from timing import arguments, head, photos, pixels, row

from clipiqa_pyiqa.workbench.images.uniform import flag

STEPS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
EXPOSURES = (4, 8, 16, 32, 64)
DARK = {
    "ss01_94", "ss01_153", "ss01_186", "ss01_187", "ss01_197", "ss01_208", "ss01_211", "ss01_226",
    "ss01_1975", "ss01_1976", "ss02_56", "ss02_1604", "ss02_1611", "ss03_106", "ss03_190", "ss03_262",
    "ss03_484", "ss03_681", "ss03_687", "ss03_754", "ss03_868", "ss03_987", "ss03_1337", "ss03_1600",
    "ss03_1802", "ss03_2880", "ss03_2900", "ss03_5456", "ss03_6638", "ss03_6786", "ss03_7045", "ss03_7074",
    "ss03_7748",
}  # fmt: skip


def as_in_a_file(x):
    return (255 * x.clamp(0, 1)).round().byte()


def darkened(x, step):
    return as_in_a_file(x * step)


def brightened(x, step):
    return as_in_a_file(1 - (1 - x) * step)


def count_real(files):
    flags = {file: flag(pixels(file)) for file in files}
    flagged = [file for file in files if flags[file]]
    print(*(f"{file}: {flags[file]}" for file in flagged), sep="\n")
    print(f"{len(flagged)} of {len(files):,} photos are flagged")


def count_dark(files):
    dark = [pixels(file) for file in files if Path(file).stem in DARK]
    for step in (1, 0.5):
        flagged = sum(1 for x in dark if flag(darkened(x, step)))
        print(f"{flagged} of {len(dark)} dark photos are flagged at {step} of their values")


def count_changed(files):
    counts = {}
    for file in files:
        x = pixels(file)
        versions = {("darkened", step): (darkened(x, step), "almost black") for step in STEPS}
        versions |= {("brightened", step): (brightened(x, step), "almost white") for step in STEPS}
        versions |= {("overexposed", step): (as_in_a_file(x * step), "almost white") for step in EXPOSURES}
        for key, (version, expected) in versions.items():
            is_flagged = flag(version) == expected
            counts[key] = counts.get(key, 0) + int(is_flagged)
    head("change", "step", f"flagged of {len(files):,}")
    for (change, step), count in counts.items():
        row(change, step, f"{count} ({count / len(files):.1%})")


def main():
    args = arguments("paths*", every=5)
    files = photos(*args.paths)
    count_real(files)
    count_dark(files)
    count_changed(files[:: args.every])


if __name__ == "__main__":
    main()
