"""Messages in a shell: flags in place of Python's options, and lines of progress."""

import ast
import re
from pathlib import Path

import pytest
from photos import save_grey

import clipiqa_pyiqa
from clipiqa_pyiqa.cli import function_of, main, parsers
from clipiqa_pyiqa.cli.options import terminal

pytest_plugins = ["weights_fakes"]
PACKAGE = Path(clipiqa_pyiqa.__file__).parent
PYTHON_ONLY = ("ray.py", "torchmetrics.py", "plugin.py", "loss.py", "reward.py")  # no command calls these modules
AS_OPTION = r"(?:pass|set|leave out) {name}(?:[.,;:]| to | or |$)|\({name}\)"


@pytest.fixture
def flags():
    """The flags of all commands."""
    every = {}
    for name, parser in parsers()[1].items():
        parser.declare(function_of(name))
        every |= terminal.FLAGS
    terminal.FLAGS.update(every)
    yield every
    terminal.FLAGS.clear()


def messages():
    """Yield the place and the texts of every error and every log line of the package."""
    for path in (path for path in PACKAGE.rglob("*.py") if path.name not in PYTHON_ONLY):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            says = getattr(called, "attr", getattr(called, "id", ""))
            if isinstance(node, ast.Raise) or says in ("warning", "error", "info", "tell", "note"):
                parts = [getattr(part, "value", None) for part in ast.walk(node)]
                text = "X".join(part for part in parts if isinstance(part, str))
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", text


def test_messages_in_a_shell_name_no_option_of_python(flags):
    words = "|".join(name for name in flags if "_" not in name)
    wrong = []
    for place, text in messages():
        said = re.sub("`[^`]*`", "", terminal.in_shell(text))  # without code, such as `clipiqa table`
        names = {name for name in re.findall(r"(?<![\w'/.:-])[a-z]+_[a-z_]+(?![\w(])", said) if name in flags}
        if names or re.search(AS_OPTION.format(name=f"({words})"), said) or re.search(rf"\b({words})='\w+'", said):
            wrong.append(f"{place}: {said}")
    assert not wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed must be between 0 and 9.", "--seed must be between 0 and 9."),
        ("use backbone='mini', or clip_weights=PATH.", "use --backbone mini, or --clip-weights PATH."),
        ("pass `resume`, or switch quick_gelu off.", "pass --resume, or switch --quick-gelu off."),
        ("'max_side/x.png' is damaged; f(max_side=3) runs out of memory.", ""),
    ],
)
def test_options_become_flags_and_other_words_stay(text, expected, flags):
    assert terminal.in_shell(text) == (expected or text)


@pytest.mark.parametrize(
    ("given", "named"),
    [("--resume", "error: --resume"), ("--workers=0", "error: --workers"), ("-coptions.yml", "'max_side'")],
)
def test_commands_print_their_own_flags_but_a_yaml_file_keeps_pythons_names(
    given, named, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.yml").write_text("max_sid: 5\n")
    assert main(["score", "x.png", given]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compare -d photos", "table --methods a=photos", "score photos"])
@pytest.mark.usefixtures("home")
def test_a_metric_without_weights_is_named_with_its_options(command, tmp_path, monkeypatch, capsys):
    save_grey(tmp_path / "photos/a.png", 9)
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "-m", "clipiqa"]) > 0
    said = "".join(capsys.readouterr())
    assert "clipiqa:backbone=mini" in said and "clipiqa:clip_weights=" in said
    assert "backbone='" not in said and "--backbone" not in said


@pytest.mark.parametrize(
    ("state", "expected"), [(("methods", 17, 36), "methods: 17 of 36 images, "), ((315, None), ": 315 images\n")]
)
def test_progress_without_a_terminal(state, expected, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "EVERY", 0)
    with terminal.speaking("score", False), terminal.Bar() as bar:
        bar.show(*state)
    assert expected in capsys.readouterr().err
