"""pyiqa's own trainer, with our configurations, on a few photos."""

import sys
from pathlib import Path
from unittest import mock

import yaml

CONFIGS = Path(__file__).parents[2] / "configs/train"


def trainer_options(name, photos, folder, **loader):
    """Return a configuration's options for photos, of which two validate; their table is written to ``folder``."""
    options = yaml.safe_load((CONFIGS / f"{name}.yml").read_text())
    rows = [f"{path.name},{index % 100},{'val' if index < 2 else 'train'}" for index, path in enumerate(photos)]
    (folder / "meta.csv").write_text("img_name,MOS,official_split\n" + "\n".join(rows))
    for split in options["datasets"].values():
        split |= {"meta_info_file": str(folder / "meta.csv"), "dataroot_target": str(photos[0].parent), **loader}
    options["val"] |= {"pbar": False}
    options["logger"] |= {"use_tb_logger": False}
    return options


def run_trainer(options, folder):
    from pyiqa.train import train_pipeline

    (folder / "train.yml").write_text(yaml.safe_dump(options))
    with mock.patch.object(sys, "argv", ["train.py", "-opt", str(folder / "train.yml")]):
        return train_pipeline(str(folder))
