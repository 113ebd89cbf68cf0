"""Help fits on a screen, and what it leaves out stands in --help-all."""

import re
import threading

import pytest
from command_options import all_arguments, is_option

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
