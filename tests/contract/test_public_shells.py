"""What a command line takes: completion, help without delay, and unknown options."""

import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_tab_completes_options_and_files(clipiqa, tmp_path):
    (tmp_path / "script").write_text(clipiqa("--print-completion bash").out)
    for typed, then in {"sc": "score", "table --crop": "--crop-border", "score --format js": "jsonl"}.items():
        words = ["clipiqa", *typed.split()]
        tab = f"source ./script; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _clipiqa"
        command = ["bash", "-c", f'{tab}; echo "${{COMPREPLY[@]}}"']
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.strip() == then


def run_module(*words, optimized=False):
    flags = ["-OO"] if optimized else []
    ran = subprocess.run([sys.executable, *flags, "-m", "clipiqa_pyiqa", *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_python_m_is_the_command():
    assert run_module("--version").startswith("clipiqa-pyiqa ")
