"""Measure how long it takes to find the images in a folder, beside a plain listing by the file system.

python tests/measure/finding.py [FILES]
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

from timing import in_turns

from clipiqa_pyiqa.sources.finding import find_shards

ROUNDS = 5


def listed(folder):
    """Return the number of files in a folder: nothing but the file system's own time."""
    count, todo = 0, [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    todo.append(entry.path)
                else:
                    count += 1
    return count


def main(files):
    with tempfile.TemporaryDirectory() as room:
        for number in range(files):
            folder = Path(room, f"{number // 1000:03d}")
            folder.mkdir(exist_ok=True)
            (folder / f"{number:06d}.jpg").touch()
        assert listed(room) == len(find_shards(room).items) == files
        os.chdir(room)
        works = {
            "plain listing": lambda: listed("."),
            "find_shards, absolute path": lambda: find_shards(room),
            "find_shards, relative path": lambda: find_shards("."),
        }
        print(f"| {files:,} files | seconds | range |\n|---|---|---|")
        for name, seconds in in_turns(works, ROUNDS).items():
            print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)
