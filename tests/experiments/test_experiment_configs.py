"""``--config`` of the Figures' commands: a file's options, those beside it, and mistakes."""

import re
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml

from clipiqa_pyiqa import cli
from clipiqa_pyiqa.files.yaml import shipped

pytestmark = pytest.mark.quick

PAGE = (Path(__file__).parents[2] / "docs/reproduce.md").read_text(encoding="utf-8")
LINES = sorted(set(re.findall(r"`clipiqa ((?:compare|radar|sweep|pairs|rank|agreement) [^`]*)`", PAGE)))


@pytest.fixture
def told(clipiqa, monkeypatch):
    """``told('sweep', …)`` -> what its command line comes to, without running it."""

    def get(line):
        monkeypatch.setattr(cli, "call", called := mock.Mock(return_value=0))
        clipiqa(line, 0)
        return SimpleNamespace(**called.call_args.args[1])

    return get


def test_the_commands_of_the_page_have_their_files_options(told):
    for line in LINES:
        args = told(line)
        files = [shipped()[file] for file in args.config_file]
        for name, value in () if line.startswith("compare") else yaml.safe_load(files[0].read_text()).items():
            assert getattr(args, name) == (Path(value) if name == "out" else value)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "options.yml"
    path.write_text(
        "template: '{} photo.'\nsteps: 5\nscales: [1, 0.25]\nexif: false\nhuge: false\nquick_gelu: false\nmax_side:\n"
    )
    return path


def test_the_command_line_wins_and_of_several_files_the_later(file, tmp_path, told):
    (later := tmp_path / "later.yml").write_text("template: a {}\nsteps: 3\nquick_gelu: true")
    args = told(f"sweep --steps 9 -c {file} -c {later} -- a.jpg")
    assert (args.steps, args.template, args.paths, args.scales) == (9, "a {}", ["a.jpg"], [1, 0.25])
    assert (args.apply_exif, args.huge, args.quick_gelu, vars(args).get("max_side")) == (False, False, True, None)


def test_prompts_may_be_pairs_as_yaml_writes_them_and_begin_with_a_dash(tmp_path, told):
    path = tmp_path / "options.yml"
    path.write_text("prompts: [quality, [Crisp photo., Hazy photo.], '-3 EV photo.|Bright photo.']")
    args = told(f"rank -c {path} photos")
    assert args.prompts == ["quality", "Crisp photo.|Hazy photo.", "-3 EV photo.|Bright photo."]


def test_mistakes_are_named(clipiqa, tmp_path):
    for text, said in {
        "step: 3": "'steps'",
        "resume: true": "'resume'",
        "- 3": "mapping",
        "exif: 1": "exif",
        "scales: []": "list of values",
    }.items():
        path = tmp_path / "options.yml"
        path.write_text(text)
        clipiqa(f"sweep photos -c {path}", 2, said)
