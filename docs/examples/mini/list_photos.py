"""Write the list by which ``opinions/table_file.py`` knows the rated photos that mini was trained on.

python docs/examples/mini/list_photos.py BIQ2021 clipiqa_pyiqa/data/mini_photos.bin
"""

import csv
import sys
from pathlib import Path

from clipiqa_pyiqa.files import hash_file
from clipiqa_pyiqa.workbench.opinions.learned_photos import DIGEST_BYTES

folder, target = map(Path, sys.argv[1:])
with (folder / "scores.csv").open(encoding="utf-8") as file:
    names = [row["image"] for row in csv.DictReader(file) if row["split"] == "train"]
hashes = sorted(bytes.fromhex(hash_file(folder / "images" / name))[:DIGEST_BYTES] for name in names)
target.write_bytes(b"".join(hashes))
