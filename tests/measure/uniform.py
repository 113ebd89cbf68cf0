"""How many real photos get a flag.

python tests/measure/uniform.py FOLDER ...
"""

from timing import arguments, photos, pixels

from clipiqa_pyiqa.workbench.images.uniform import flag


def main():
    files = photos(*arguments("paths*").paths)
    flags = {file: flag(pixels(file)) for file in files}
    flagged = [file for file in files if flags[file]]
    print(*(f"{file}: {flags[file]}" for file in flagged), sep="\n")
    print(f"{len(flagged)} of {len(files):,} photos are flagged")


if __name__ == "__main__":
    main()
