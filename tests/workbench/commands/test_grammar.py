"""The same option means the same in every command."""

import re

import pytest
from command_options import all_arguments, is_option, kinds_of
from PIL import Image

from clipiqa_pyiqa.workbench.commands import prompts

pytestmark = pytest.mark.quick

SHORT = {"out": "-o", "config": "-c", "backbone": "-b", "prompts": "-p", "quiet": "-q"}


LINES = {  # command -> a line whose inputs exist
    "score": "score photos",
    "map": "map photos",
    "rank": "rank ranked.csv",
    "compare": "compare -m niqe -d opinions.csv",
    "table": "table --methods a=photos -m clipiqa:backbone=mini",
    "gate": "gate photos photos -m clipiqa:backbone=mini",
    "train": "train opinions.csv --out new --backbone mini",
    "fit": "fit opinions.csv --out new.safetensors --backbone mini",
    "radar": "radar photos",
    "sweep": "sweep photos",
    "pairs": "pairs photos photos",
    "agreement": "agreement votes.csv",
    "verify": "verify",
    "export": "export new.onnx",
    "weights": "weights",
}
UNUSED = {"actors"}  # without Ray


def inputs(folder):
    (folder / "photos").mkdir()
    rows = []
    for number in range(30):
        Image.new("RGB", (64, 64), (8 * number, 0, 0)).save(folder / f"photos/{number}.png")
        rows.append(f"photos/{number}.png,{number}")
    (folder / "opinions.csv").write_text("\n".join(["path,mos", *rows, ""]))
    (folder / "ranked.csv").write_text("\n".join(["path,quality", *rows, ""]))
    votes = "attribute,first,second,choice\nquality,photos/0.png,photos/1.png,first\n"
    (folder / "votes.csv").write_text(votes)


def test_every_option_has_help_and_its_short_name():
    """Every option has help; what commands share has the same short name."""
    for command, arguments in all_arguments().items():
        for argument in arguments:
            name = argument.field_info.name
            assert argument.parameter.help, (command, name)
            if is_option(argument) and name in SHORT:
                assert SHORT[name] in argument.names


@pytest.mark.slow
def test_whole_numbers_have_bounds(clipiqa, tmp_path):
    inputs(tmp_path)
    for command, arguments in all_arguments().items():
        for argument in arguments:
            if int not in kinds_of(argument) or argument.field_info.name in UNUSED:
                continue
            ran = clipiqa(f"{LINES[command]} {argument.name}=-1", 2)
            assert re.search(rf"error: {argument.name} must be .*; got '?-1", ran.err), ran.err
            assert not list(tmp_path.glob("new*"))


def test_a_lack_of_memory_is_an_error_of_one_sentence(clipiqa, monkeypatch):
    for error in [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]:
        monkeypatch.setattr(prompts, "parse_prompts", lambda *_, error=error: (_ for _ in ()).throw(error))
        clipiqa("prompts quality", 2, "clipiqa prompts: error: the memory does not suffice")
