"""Messages in a shell: flags in place of Python's options, and lines of progress."""

import pytest
from command_options import arguments_of
from photos import save_grey

from clipiqa_pyiqa.workbench.commands.options import terminal

pytest_plugins = ["weights_fakes"]


def test_options_become_flags_and_other_words_stay(monkeypatch):
    flags = {argument.field_info.name: argument.name for argument in arguments_of("train")}
    monkeypatch.setattr(terminal, "FLAGS", flags)
    for text, expected in {
        "seed must be between 0 and 9.": "--seed must be between 0 and 9.",
        "use backbone='mini', or clip_weights=PATH.": "use --backbone mini, or --clip-weights PATH.",
        "pass `resume`, or switch quick_gelu off.": "pass --resume, or switch --quick-gelu off.",
        "'quick_gelu/x.png' is damaged; f(quick_gelu=3) runs out of memory.": "",
    }.items():
        assert terminal.in_shell(text) == (expected or text)


def test_commands_print_their_own_flags_but_a_yaml_file_keeps_pythons_names(clipiqa, tmp_path):
    for given, named in {
        "--resume": "error: --resume",
        "--workers=0": "error: --workers",
        "-coptions.yml": "'max_side'",
    }.items():
        (tmp_path / "options.yml").write_text("max_sid: 5\n")
        clipiqa(f"score x.png {given}", 2, named)


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
        monkeypatch.setattr(terminal, "EVERY", 0)
        with terminal.speaking("score", False), terminal.progress() as show:
            show(*state)
        assert expected in capsys.readouterr().err
