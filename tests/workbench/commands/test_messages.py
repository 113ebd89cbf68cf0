"""Messages in a shell: flags in place of Python's names, and lines of progress."""

import ast
import re

import pytest
from photos import save_grey
from PIL import Image
from repository import ROOT

from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.workbench.commands.options import progress
from clipiqa_pyiqa.workbench.commands.options.messages import speaking

pytest_plugins = ["weights_fakes"]


def test_an_error_names_options_and_a_command_shows_their_flags():
    sentence = "`resume` needs max_side; got 'other' and 'max_side'."
    error = CLIPIQAError(sentence, options=("resume", "max_side"))
    assert str(error) == sentence and error.option == "resume"
    assert (
        error.text({"resume": "--resume", "max_side": "--max-side", "other": "--other"})
        == "--resume needs --max-side; got 'other' and 'max_side'."
    )


def test_commands_print_their_own_flags_but_a_yaml_file_keeps_pythons_names(clipiqa, tmp_path):
    for given, named in {
        "--resume": "error: --resume",
        "--workers=0": "error: --workers",
        "-coptions.yml": "'max_side'",
    }.items():
        (tmp_path / "options.yml").write_text("max_sid: 5\n")
        clipiqa(f"score x.png {given}", 2, named)


FLAGS_BESIDE_PYTHONS_NAME = {"reading_errors.py"}
FLAGS_TO_TRY = {"explain.py", "suggestion.py"}  # whose result is a part of a command line


def test_only_commands_name_flags():
    """Others have readers in Python too: errors name their options, and other sentences say what to do without them."""
    for path in (ROOT / "clipiqa_pyiqa").rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
        flags = re.findall(r"--[a-z][\w-]+", " ".join(text for text in texts if isinstance(text, str)))
        if "commands" not in path.parts and path.name not in FLAGS_BESIDE_PYTHONS_NAME | FLAGS_TO_TRY:
            assert set(flags) <= {"--head"}, path  # an option of Ray's own command


def test_a_data_set_that_is_not_there_names_the_option_of_its_folder(clipiqa, tmp_path):
    said = clipiqa(f"compare -m mini -d livec --data-root {tmp_path / 'none'}", 2).err
    assert "correct it or --data-root, or download both" in said


@pytest.mark.parametrize("command", ["compare -d photos", "table --methods a=photos", "score photos"])
@pytest.mark.usefixtures("home")
def test_a_metric_without_weights_is_named_with_its_options(clipiqa, command, tmp_path):
    save_grey(tmp_path / "photos/a.png", 9)
    ran = clipiqa(f"{command} -m clipiqa")
    assert ran.code > 0
    said = ran.out + ran.err
    assert "clipiqa:backbone=mini" in said and "clipiqa:clip_weights=" in said
    assert "backbone='" not in said and "--backbone" not in said


def test_progress_without_a_terminal(monkeypatch, capsys):
    for state, expected in [(("methods", 17, 36), "methods: 17 of 36 images, "), ((315, None), ": 315 images\n")]:
        monkeypatch.setattr(progress, "EVERY", 0)
        with speaking("score", False), progress.progress() as show:
            show(*state)
        assert expected in capsys.readouterr().err


def test_reasons_of_rows_name_things_and_no_options_of_python(clipiqa, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (1500, 1500)).save(tmp_path / "photos/large.png")
    Image.effect_noise((500, 500), 60).convert("RGB").save(tmp_path / "photos/cut.jpg")
    content = (tmp_path / "photos/cut.jpg").read_bytes()
    (tmp_path / "photos/cut.jpg").write_bytes(content[:-4000] + bytes(2000) + content[-2000:])
    ran = clipiqa("score photos -b mini --memory 100M", 1, "raise the limit of memory", "have damaged images kept")
    assert not re.search(r"[a-z]_[a-z]|\w=", ran.err)
