"""``--config`` of the Figures' commands: a file's options, those beside it, and mistakes."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from clipiqa_pyiqa.workbench.commands.app import command_app
from clipiqa_pyiqa.workbench.commands.command_line import CommandLine
from clipiqa_pyiqa.workbench.commands.layout import Layout
from clipiqa_pyiqa.workbench.files.shipped import shipped_configs

pytestmark = pytest.mark.quick

PAGE = (Path(__file__).parents[3] / "docs/reproduce.md").read_text(encoding="utf-8")
LINES = sorted(set(re.findall(r"`clipiqa ((?:compare|radar|sweep|pairs|rank|agreement) [^`]*)`", PAGE)))
EXPERIMENTS = [line for line in LINES if not line.startswith("compare") and " -c " in line]


def arguments_of(line):
    """Return what a command line and its files come to, without running it."""
    words = shlex.split(line)
    command_line = CommandLine()
    command_app(words, command_line, Layout(is_whole=False)).parse_args(words)
    given = [argument for argument in command_line.arguments if argument.has_tokens and not argument.children]
    return SimpleNamespace(**{argument.field_info.name: argument.value for argument in given})


@pytest.mark.parametrize("line", LINES)
def test_the_files_of_the_pages_commands_are_shipped(line):
    assert set(getattr(arguments_of(line), "config", ())) <= shipped_configs().keys()


@pytest.mark.parametrize("part", [*(f"Table {n}" for n in (1, 2, 5)), *(f"Fig. {n}" for n in range(1, 10)), "Eq. 1"])
def test_each_table_figure_and_equation_has_a_row(part):
    assert re.search(rf"^\| {part}\b", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("line", EXPERIMENTS)
def test_the_commands_of_the_page_have_their_files_options(line):
    arguments = arguments_of(line)
    first_file = shipped_configs()[arguments.config[0]]
    for name, setting in yaml.safe_load(first_file.read_text()).items():
        expected = Path(setting) if name == "out" else setting
        assert getattr(arguments, name) == expected


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "options.yml"
    path.write_text(
        "template: '{} photo.'\nsteps: 5\nscales: [1, 0.25]\nexif: false\nhuge: false\nquick_gelu: false\nmax_side:\n"
    )
    return path


def test_the_command_line_wins_and_of_several_files_the_later(file, tmp_path):
    later = tmp_path / "later.yml"
    later.write_text("template: a {}\nsteps: 3\nquick_gelu: true")
    arguments = arguments_of(f"sweep --steps 9 -c {file} -c {later} -- a.jpg")
    assert arguments.paths == ("a.jpg",)
    assert arguments.steps == 9  # of the command line
    assert (arguments.template, arguments.quick_gelu) == ("a {}", True)  # of the later file
    assert (arguments.scales, arguments.apply_exif, arguments.huge) == ([1, 0.25], False, False)  # of the first
    assert vars(arguments).get("max_side") is None


def test_prompts_may_be_pairs_as_yaml_writes_them_and_begin_with_a_dash(tmp_path):
    path = tmp_path / "options.yml"
    path.write_text("prompts: [quality, [Crisp photo., Hazy photo.], '-3 EV photo.|Bright photo.']")
    arguments = arguments_of(f"rank -c {path} photos")
    assert arguments.prompts == ["quality", "Crisp photo.|Hazy photo.", "-3 EV photo.|Bright photo."]


def test_mistakes_are_named(clipiqa, tmp_path):
    path = tmp_path / "options.yml"
    for text, message in {
        "step: 3": "'steps'",
        "resume: true": "'resume'",
        "- 3": "mapping",
        "exif: 1": "exif",
        "scales: []": "list of values",
    }.items():
        path.write_text(text)
        clipiqa(f"sweep photos -c {path}", 2, message)
