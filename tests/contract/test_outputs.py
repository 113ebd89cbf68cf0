"""No command writes over a file unless told to, nor over what it reads, also with --overwrite."""

import re
import shutil
from pathlib import Path

import pytest
from photos import PHOTOS, save_grey

WRITTEN = {  # by command and option: arguments, and a file that the command writes
    "agreement out": ("votes.csv", "ao/scores.csv"),
    "compare out": ("-d in -m entropy", "o/comparison.md"),
    "demo out": ("", "demo.png"),
    "export path": ("-b mini", "m.onnx"),
    "fit out": ("s.csv", "h.safetensors"),
    "fit splits_out": ("s.csv --splits 2 --out h2.safetensors", "s2.csv"),
    "gate out": ("s.csv s.csv", "o/gate.json"),
    "gate page": ("s.csv s.csv", "o/gate.html"),
    "map out": ("in -b mini", "o/photo.png"),
    "pairs out": ("in in -b mini", "o/scores.csv"),
    "radar out": ("in -b mini", "o/scores.csv"),
    "rank out": ("in -b mini", "o/ranking.csv"),
    "rank page": ("in -b mini", "o/ranking.html"),
    "score out": ("in -b mini", "scores.csv"),
    "score videos": ("in -b mini", "v.csv"),
    "sweep out": ("in -b mini", "o/scores.csv"),
    "table out": ("--methods a=in -m entropy", "o/images.csv"),
    "train out": ("s.csv -b mini", "o/log.csv"),
}


def test_every_output_is_walked(clipiqa):
    """All but the file of ``export``, which is no option."""
    found = {"export path"}
    for command in re.findall(r"^  ([a-z]+)  ", clipiqa("--help", 0).out, re.M):
        outputs = re.findall(
            r"^  (?:-o, )?--((?:\w+-)?out|page|videos)\b", clipiqa(f"{command} --help-all", 0).out, re.M
        )
        found |= {f"{command} {output.replace('-', '_')}" for output in outputs}
    assert found == WRITTEN.keys()


@pytest.fixture
def inputs(tmp_path):
    for grey, name in enumerate(("photo", "other")):
        save_grey(tmp_path / f"in/{name}.jpg", 90 * grey, (64, 48))
    rows = [f"in/{name}.jpg,{n},{split}" for n in range(9) for name, split in (("photo", "train"), ("other", "val"))]
    (tmp_path / "s.csv").write_text("\n".join(["path,mos,split", *rows]))
    (tmp_path / "votes.csv").write_text("attribute,first,second,choice\nquality,in/photo.jpg,in/other.jpg,first\n")
    return lambda: {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("output", WRITTEN)
def test_no_output_is_a_file_that_is_there_or_that_the_command_line_names(clipiqa, output, inputs):
    command, option = output.rsplit(" ", 1)
    given, file = WRITTEN[output]
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("{}")
    before = inputs()
    place = str(Path(file).parent) if "/" in file else file
    flag = "" if option == "path" else f"--{option.replace('_', '-')}"
    for more, said in {"": "exists", f"--overwrite --config {file}": "one of the inputs"}.items():
        clipiqa(f"{command} {given} {flag} {place} {more}", 2, said)
        assert inputs() == before


def test_an_input_is_never_an_output(clipiqa, tmp_path):
    for command in [
        "fit in.csv --out in.csv",
        "fit in.csv --out head.safetensors --splits 2 --splits-out in.csv",
        "fit scores.csv --clip-weights in.csv --out in.csv",
        "export in.csv --clip-weights in.csv",
        "export in.csv --learned-prompts in.csv",
        "score photo.jpg --out in.csv --metrics mine=in.csv:lower_better=true",
        "score photo.jpg --out photo.jpg --format csv --metrics entropy",
    ]:
        shutil.copy(PHOTOS[0], "photo.jpg")
        for name in ("in.csv", "scores.csv"):
            (tmp_path / name).write_text("path,score\nphoto.jpg,1\n")
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        clipiqa(f"{command} --overwrite", 2, "input")
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
