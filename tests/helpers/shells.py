"""Real shells in which a tab is pressed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_ON_A_TERMINAL = {  # how it starts, and what it does first: load the script, and show the line when Ctrl-X is pressed
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        'source ./script; bind -x \'"\\C-x": echo "<<$READLINE_LINE>>"\'',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "cp script _clipiqa; fpath=($PWD $fpath); autoload -U compinit; compinit -D -u; "
        'show() { print -r -- "<<$BUFFER>>" }; zle -N show; bindkey "^X" show',
    ),
}


def completed(shell: str, script: str, lines: Sequence[str], folder: Path) -> list[str]:
    """What each line is after a tab, in ``folder``, in a shell that has loaded ``script``."""
    (folder / "script").write_text(script)
    if shell == "fish":  # by its own command; its editor would ask the terminal what it is
        asked = "; ".join(f"complete -C {line!r}; echo" for line in lines)
        command = ["fish", "--no-config", "-c", f"source ./script; {asked}"]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60).stdout.split("\n\n")
        offered = [words.partition("\t")[0] for words in said]
        return [f"{line.rpartition(' ')[0]} {word}" for line, word in zip(lines, offered, strict=False)]
    return _on_a_terminal(*_ON_A_TERMINAL[shell], lines, folder)


def _on_a_terminal(command: list[str], setup: str, lines: Sequence[str], folder: Path) -> list[str]:
    import pty  # not on Windows

    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.environ.update(TERM="dumb", PS1="", INPUTRC="/dev/null", HISTFILE="")
        os.execvp(command[0], command)
    seen, end = b"", time.monotonic() + 60

    def wait_for(mark: bytes) -> str:
        nonlocal seen
        while mark not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 65536)
        found, _, seen = seen.partition(mark)
        return found.decode(errors="replace")

    try:
        os.write(terminal, (setup + "\nprint''f 'READ''Y\\n'\n").encode())
        wait_for(b"READY\r\n")
        time.sleep(0.3)  # until it listens
        after = []
        for line in lines:
            os.write(terminal, line.encode() + b"\t\x18")
            after.append(wait_for(b">>").rpartition("<<")[2].strip())
            os.write(terminal, b"\x15")  # an empty line again
        return after
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
