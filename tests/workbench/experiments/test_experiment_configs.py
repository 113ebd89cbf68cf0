"""``--config`` of the Figures' commands: a file's options, those beside it, and mistakes."""

import re
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml

from clipiqa_pyiqa.workbench import commands as cli
from clipiqa_pyiqa.workbench.files.yaml import shipped

pytestmark = pytest.mark.quick

PAGE = (Path(__file__).parents[3] / "docs/reproduce.md").read_text(encoding="utf-8")
LINES = sorted(set(re.findall(r"`clipiqa ((?:compare|radar|sweep|pairs|rank|agreement) [^`]*)`", PAGE)))
EXPERIMENTS = [line for line in LINES if not line.startswith("compare")]


@pytest.fixture
def arguments_of(clipiqa, monkeypatch):
    """``arguments_of('sweep …')`` -> what a command line comes to, without running it."""

    def arguments_of(line):
        call = mock.Mock(return_value=0)
        monkeypatch.setattr(cli, "call", call)
        clipiqa(line, 0)
        return SimpleNamespace(**call.call_args.args[1])

    return arguments_of


@pytest.mark.parametrize("line", LINES)
def test_the_files_of_the_pages_commands_are_shipped(arguments_of, line):
    assert set(arguments_of(line).config_file) <= shipped().keys()


@pytest.mark.parametrize("line", EXPERIMENTS)
def test_the_commands_of_the_page_have_their_files_options(arguments_of, line):
    arguments = arguments_of(line)
    first_file = shipped()[arguments.config_file[0]]
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


def test_the_command_line_wins_and_of_several_files_the_later(file, tmp_path, arguments_of):
    later = tmp_path / "later.yml"
    later.write_text("template: a {}\nsteps: 3\nquick_gelu: true")
    arguments = arguments_of(f"sweep --steps 9 -c {file} -c {later} -- a.jpg")
    assert arguments.paths == ["a.jpg"]
    assert arguments.steps == 9  # of the command line
    assert (arguments.template, arguments.quick_gelu) == ("a {}", True)  # of the later file
    assert (arguments.scales, arguments.apply_exif, arguments.huge) == ([1, 0.25], False, False)  # of the first
    assert vars(arguments).get("max_side") is None


def test_prompts_may_be_pairs_as_yaml_writes_them_and_begin_with_a_dash(tmp_path, arguments_of):
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
