"""A folder with a file of every kind that a command may be given."""

import os
import stat

import pandas as pd
from PIL import Image


def make_world(folder):
    """Photos in two versions, opinions, scores of two runs, votes, and what is no regular file."""
    for place, more in (("photos", 0), ("better", 3), ("new", 0)):
        (folder / place).mkdir()
        for n in range(4 if place != "new" else 0):
            Image.effect_noise((48, 40), 9 + 20 * n + more).convert("RGB").save(folder / place / f"{n}.png")
    names = [f"photos/{n}.png" for n in range(4)]
    scores = pd.Series(range(4))
    opinions = pd.DataFrame({"image": names, "mos": scores, "split": ["train", "train", "train", "val"]})
    opinions.to_csv(folder / "scores.csv", index=False)
    pd.DataFrame({"path": names, "quality": scores / 10}).to_csv(folder / "base.csv", index=False)
    pd.DataFrame({"path": names, "quality": scores / 9}).to_csv(folder / "new.csv", index=False)
    (folder / "votes.csv").write_text("attribute,first,second,choice\nquality,photos/0.png,photos/1.png,first\n")
    (folder / "empty").touch()
    (folder / "loop").symlink_to("loop")
    (folder / "full").symlink_to("/dev/full")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", 0o666 | stat.S_IFSOCK)
