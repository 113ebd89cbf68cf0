"""``--config`` of the Figures' commands: a file's options, those beside it, and mistakes."""

import shlex
from pathlib import Path
from unittest import mock

import pytest
import yaml

from clipiqa_pyiqa import cli
from clipiqa_pyiqa.cli import main

pytestmark = pytest.mark.quick

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "figures").glob("*.yml"))
PHOTOS = str(Path(__file__).parents[1] / "data")


@pytest.fixture
def told(monkeypatch):
    """``told('sweep', …)`` -> what its command line comes to, without running it."""

    def get(command, *argv):
        monkeypatch.setattr(cli, "call", called := mock.Mock(return_value=0))
        assert main([command, *argv]) == 0
        return called.call_args.args[1]

    return get


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_command_that_a_file_names_has_its_options(path, told):
    (line,) = (line for line in path.read_text().splitlines() if line.startswith("#   clipiqa "))
    command, *argv = shlex.split(line.removeprefix("#   clipiqa "))
    argv[argv.index("-c") + 1] = str(path)
    args = told(command, *argv)
    for name, value in yaml.safe_load(path.read_text()).items():
        assert getattr(args, name) == (Path(value) if name == "out" else value)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "options.yml"
    path.write_text(
        "template: '{} photo.'\nsteps: 5\nscales: [1, 0.25]\nexif: false\nhuge: false\nquick_gelu: false\nmax_side:\n"
    )
    return path


def test_the_command_line_wins(file, told):
    args = told("sweep", "--steps", "9", "-c", str(file), "--template", "{}.", "--", "a.jpg")
    assert (args.steps, args.template, args.paths, args.scales) == (9, "{}.", ["a.jpg"], [1, 0.25])
    assert (args.apply_exif, args.huge, args.quick_gelu, args.max_side) == (False, False, False, None)


def test_prompts_may_be_pairs_as_yaml_writes_them_and_begin_with_a_dash(tmp_path, told):
    path = tmp_path / "options.yml"
    path.write_text("prompts: [quality, [Crisp photo., Hazy photo.], '-3 EV photo.|Bright photo.']")
    args = told("rank", "-c", str(path), PHOTOS)
    assert args.prompts == ["quality", "Crisp photo.|Hazy photo.", "-3 EV photo.|Bright photo."]


def test_of_several_files_the_later_wins(file, tmp_path, told):
    later = tmp_path / "later.yml"
    later.write_text("template: a {}\nsteps: 3\nquick_gelu: true")
    args = told("sweep", "-c", str(file), PHOTOS, "-c", str(later))
    assert (args.template, args.steps, args.quick_gelu, args.scales) == ("a {}", 3, True, [1, 0.25])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step: 3", "'steps'"),
        ("resume: true", "'resume'"),
        ("- 3", "mapping"),
        ("exif: 1", "exif"),
        ("scales: []", "list of values"),
    ],
)
def test_mistakes_are_named(text, said, tmp_path, capsys):
    path = tmp_path / "options.yml"
    path.write_text(text)
    assert main(["sweep", PHOTOS, "-c", str(path)]) == 2
    assert said in capsys.readouterr().err
