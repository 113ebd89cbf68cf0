"""Help fits on a screen, and what it leaves out stands in --help-all."""

import re
import threading

import pytest
from command_options import all_arguments, is_option
from PIL import Image

from clipiqa_pyiqa.workbench.commands import main
from clipiqa_pyiqa.workbench.commands.app import COMMANDS, NAMES

pytestmark = pytest.mark.quick

MOST_LINES = 45  # at 100 columns
MOST_IN_THE_FIRST_GROUP = 12
RARE = (
    "--quick-gelu",
    "--pos-embedding",
    "--trust-weights",
    "--huge",
    "--memory",
    "--workers",
    "--threads",
    "--actors",
)


@pytest.fixture(autouse=True)
def screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def group(text, title):
    """Return the lines below a title, up to an empty one."""
    return text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize("command", NAMES)
def test_a_commands_help_fits_on_a_screen(clipiqa, command):
    text = clipiqa(f"{command} --help", 0).out
    lines = text.splitlines()
    assert len(lines) <= MOST_LINES
    assert len(re.findall(r"^  -", group(text, "Options"), re.MULTILINE)) <= MOST_IN_THE_FIRST_GROUP
    examples = re.findall(rf"^  .*clipiqa {command}\b", group(text, "Examples"), re.MULTILINE)
    assert 2 <= len(examples) <= 4
    assert any(line.startswith("Exit code: 0 ") for line in lines[-3:])
    assert re.search(rf"\d+ more options?[, ].*details: clipiqa {command} --help-all$", lines[-1])
    assert ("--device" in text) == ("--device" in clipiqa(f"{command} --help-all", 0).out)
    assert not any(flag in text for flag in RARE) and "\x1b" not in text


@pytest.mark.slow
def test_the_whole_help_has_every_option(clipiqa):
    for command, arguments in all_arguments().items():
        text = clipiqa(f"{command} --help-all", 0).out
        assert all(argument.name in text for argument in arguments if is_option(argument))


def test_commands_are_listed_in_groups(clipiqa):
    text = clipiqa("--help", 0).out
    for title, commands in COMMANDS.items():
        listed = re.findall(r"^  (\w+)", group(text, title), re.MULTILINE)
        assert sorted(listed) == sorted(commands)


def test_a_command_line_may_be_run_in_several_threads(capfd):
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(main(["prompts", "quality"]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0] and main(["prompts", "quality"]) == 0
    assert capfd.readouterr().out.count("Good photo.") == 3


def test_help_can_be_printed_on_a_screen_of_any_width(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1")
    assert main(["score", "--help"]) == 0
    assert "--resume" in capsys.readouterr().out


@pytest.mark.parametrize("command", NAMES)
def test_help_begins_with_how_the_command_is_called(clipiqa, command):
    text = clipiqa(f"{command} --help", 0).out
    usage = text.splitlines()[0]
    assert usage.startswith(f"Usage: clipiqa {command}")
    arguments = re.findall(r"^  (\S+)", group(text, "Arguments"), re.MULTILINE)
    assert all(argument in usage for argument in arguments)
    assert "as the command says" not in text


def test_help_tells_folders_from_files_and_commands_own_prompts(clipiqa):
    for command in ("gate", "rank", "table", "compare", "sweep", "map"):
        assert "--out DIR" in clipiqa(f"{command} --help", 0).out
    assert "--out FILE" in clipiqa("score --help", 0).out
    assert "default: those of --changes" in " ".join(clipiqa("sweep --help", 0).out.split())
    table = clipiqa("table --help", 0).out
    assert table.index("--methods") < table.index("--prompts") < table.index("--label") < table.index("Examples")


def test_the_first_screen_has_what_a_first_run_needs(clipiqa):
    compared = " ".join(clipiqa("compare --help", 0).out.split())
    assert "FILE.csv:root=DIR" in compared and "--format {table,csv,markdown,latex}" in compared
    assert "--caption" in compared and "--caption" in clipiqa("table --help", 0).out
    for command in ("train", "fit"):
        text = clipiqa(f"{command} --help", 0).out
        assert "--root DIR" in text and "that of learned prompts" not in text
    assert "beside the means (default: yes)" in clipiqa("table --help", 0).out


def test_a_commands_own_options_come_before_those_of_all_commands(clipiqa):
    for command, own in {"score": "Videos", "table": "Table", "rank": "Picked photos", "train": "Recipe"}.items():
        titles = re.findall(r"^([A-Z][\w ]+).*:$", clipiqa(f"{command} --help-all", 0).out, re.MULTILINE)
        shared = [title for title in titles if title in ("Questions", "Which CLIP", "Images", "Machine", "Rarely used")]
        assert any(title.startswith(own) for title in titles[: titles.index(shared[0])])
        assert shared[-1] == "Rarely used"


def test_options_without_a_use_are_refused(clipiqa, tmp_path):
    (tmp_path / "s.csv").write_text("path,quality\na.png,1\nb.png,2\n")
    clipiqa("rank s.csv --count 1 --best 1", 2, "--count is for the list without picks")
    clipiqa("rank s.csv --count 1", 0, out="a.png")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "photos/a.png")
    clipiqa("compare -m mini -d photos --within scene", 2, "'photos' is a folder, without a column of groups")
    clipiqa("table --methods a=photos -m mini --crop-border 4", 2, "--crop-border is for full-reference metrics")
