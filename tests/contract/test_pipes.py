"""A pipe that nobody writes to: whoever names one is told so at once, in place of waiting for ever."""

import os
from pathlib import Path

import pytest
from assertions import time_limit
from photos import save_grey


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        save_grey(tmp_path / f"photos/{number}.png", 90 * number + 9)
    inside = ("photos/t.tar", "photos/p.png")
    for name in ("s.csv", "s.jsonl", "s.parquet", *inside, "c.yaml", "w.txt", "h.safetensors"):
        os.mkfifo(tmp_path / name)
    return tmp_path


def test_a_pipe_is_refused_at_once(folder, clipiqa):
    for command in [
        "score photos --metrics entropy",
        "score photos --metrics niqe:pretrained_model_path=h.safetensors",
        "score photos --learned-prompts h.safetensors",
        "score photos -c c.yaml",
        "rank s.csv",
        "rank s.jsonl",
        "rank s.parquet",
        "gate s.csv s.csv",
        "fit s.csv --out head.safetensors",
        "compare --metrics entropy -d s.csv",
        "table --methods a=photos --metrics entropy --expect s.csv",
    ]:
        with time_limit(120):
            ran = clipiqa(command)
        assert ran.code and any(
            name in ran.err for name in ("s.csv", "s.jsonl", "s.parquet", "t.tar", "c.yaml", "h.safetensors")
        )


def test_the_images_beside_a_pipe_are_scored(folder, clipiqa):
    with time_limit(120):
        rows = clipiqa("score photos --metrics entropy --format csv --device cpu").out.splitlines()[1:]
    assert sum(Path(row.split(",")[0]).suffix == ".png" for row in rows) == 3 and "p.png" in rows[2]
