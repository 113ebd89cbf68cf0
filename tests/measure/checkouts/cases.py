"""What is run in both checkouts: the commands of ``cases.txt``, and what needs more than a command line."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

from .runner import HERE

WORDS = {"SMALL": "--backbone mini --max-side 256", "MINI": "--backbone mini", "IN/": "../../in/", "LONG": "very " * 90}
COMMANDS = (
    *("score", "compare", "prompts", "prompts search", "train", "radar", "sweep", "pairs", "rank", "agreement", "demo"),
    *("weights", "verify", ""),
)
CALLS = ("reading", "scores", "gradients", "precisions", "learned", "folders", "mistakes")
"""Functions of ``api.py``."""


@dataclass(frozen=True)
class Case:
    """A command, or a script.

    Attributes:
        name: Such as ``'score csv'``; it runs in a folder of that name.
        command: The command line behind ``clipiqa``, or the script's arguments.
        script: A Python file in place of the command.
        stdin: A file to read from.
        stop: Event, text in a path, how many, signal: see ``worker.stop_at``.
        env: Further environment variables.
        messages: Whether the exit code, standard output and standard error are compared, too.
    """

    name: str
    command: str = ""
    script: Path | None = None
    stdin: str | None = None
    stop: tuple[str, str, int, int] | None = None
    env: dict[str, str] = field(default_factory=dict)
    messages: bool = True

    @property
    def folder(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def argv(self) -> list[str]:
        command = self.command
        for word, meaning in WORDS.items():
            command = command.replace(word, meaning)
        return shlex.split(command)

    @property
    def on_mini(self) -> bool:
        """Whether it needs no other weights than those in the package."""
        return "MINI" in self.command or "SMALL" in self.command

    def killed(self) -> Case:
        """The same, killed at its eighth image, or before it has saved its third epoch."""
        where = ("os.rename", "state.pt", 3) if self.command.startswith("train") else ("open", "/in/few/", 8)
        return replace(self, stop=(*where, signal.SIGKILL))


def all_cases(blocks: list[Path]) -> list[Case]:
    """Every case, in the order in which they run.

    Args:
        blocks: Scripts made of the documents' Python blocks.
    """
    lines = [line for line in (HERE / "cases.txt").read_text().splitlines() if line and not line.startswith("#")]
    cases = {name: Case(name, command) for name, _, command in (line.partition(": ") for line in lines)}
    begun = [case for case in cases.values() if case.name.startswith("resume")]
    for case in begun:
        del cases[case.name]
    signals = {"score csv": signal.SIGINT, "compare": signal.SIGINT, "rank": signal.SIGTERM}
    return [
        *cases.values(),
        Case("score stdin", "score - MINI --format csv", stdin="../../in/list.txt"),
        Case("score stdin null", "score -0 - MINI --format csv --quiet", stdin="../../in/list0.txt"),
        Case("score builtin", "score IN/few MINI --format csv", env={"CLIPIQA_PYIQA_BUILTIN": "1"}),
        Case("weights none", "weights --backbone RN50", env={"CLIPIQA_WEIGHTS_DIR": ""}),
        *(Case(f"help {name}", f"{name} --help") for name in COMMANDS),
        *(
            replace(case, name=f"interrupted {name}", stop=("open", "/in/few/", 8, signals[name]))
            for case in begun
            if (name := case.name.removeprefix("resume ")) in signals
        ),
        *begun,
        *(replace(case, name=case.name.replace("resume", "own"), messages=False) for case in begun),
        *(Case(f"api {name}", name, script=HERE / "api.py") for name in CALLS),
        *(Case(f"docs {block.stem}", script=block) for block in blocks),
    ]
