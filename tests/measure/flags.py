"""How many real photos get a flag, whole and in squares of 64 px.

python tests/measure/flags.py FOLDER ...
"""

from collections import Counter

from timing import arguments, photos, pixels

from clipiqa_pyiqa.images.flags import flag

SIDE = 64


def main():
    files, crops = photos(*arguments("paths*").paths), Counter()
    flagged = {file: found for file in files if (found := flag(pixels(file)))}
    print(*(f"{file}: {found}" for file, found in flagged.items()), sep="\n")
    print(f"{len(flagged)} of {len(files):,} photos are flagged")
    for file in files:
        squares = pixels(file).unfold(1, SIDE, 4 * SIDE).unfold(2, SIDE, 4 * SIDE).flatten(1, 2)  # every fourth
        crops.update(flag(square) for square in squares.unbind(1))
    print({found or "none": f"{count / crops.total():.1%}" for found, count in crops.items()})


if __name__ == "__main__":
    main()
