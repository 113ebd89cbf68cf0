"""Measure how long it takes to find the images in a folder, beside a plain listing by the file system.

python tests/measure/finding.py [--files 100000]
"""

import os
import statistics

from timing import arguments, head, in_turns, new_folder, row

from clipiqa_pyiqa.sources.finding import find_shards


def main():
    files = arguments(files=100_000).files
    with new_folder() as room:
        for number in range(files):
            folder = room / f"{number // 1000:03d}"
            folder.mkdir(exist_ok=True)
            (folder / f"{number:06d}.jpg").touch()
        os.chdir(room)
        works = {
            "plain listing": lambda: sum(len(files) for *_, files in os.walk(".")),
            "find_shards, absolute path": lambda: len(find_shards(room).items),
            "find_shards, relative path": lambda: len(find_shards(".").items),
        }
        assert {work() for work in works.values()} == {files}
        head(f"{files:,} files", "seconds", "range")
        for name, seconds in in_turns(works, 5).items():
            row(name, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f} to {max(seconds):.2f}")


if __name__ == "__main__":
    main()
