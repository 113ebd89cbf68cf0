"""Which kinds of damage lower the `quality` of a `mini` file, on photos that training never saw.

    python judge_damage.py FILE --photos HELD_OUT --rated BIQ2021 --output build/mini/damage.json

Statistics are kept in `--work`, so that another file of the same tower is judged in a minute.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mini.collect import chunks
from mini.data import Rated
from mini.judging import Judged, judge, table
from mini.model import Mini


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .safetensors file")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photos, held out")
    parser.add_argument("--rated", type=Path, required=True, help="BIQ2021: photos of `val` with a MOS of 0.8 or more")
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("build/mini/damage.json"))
    args = parser.parse_args()
    judged = Judged.of(args.photos, Rated.read(args.rated, "val"))
    paths = chunks("judged_damage", len(judged.photos), judged.rows, args.work, 1, args.workers)
    report = judge(Mini(args.file), paths)
    args.output.write_text(json.dumps(report, indent=1))
    print(table(report))


if __name__ == "__main__":
    main()
