"""The ``clipiqa`` command: one module per sub-command, imported when called.

A module's ``run`` declares the options; see :mod:`.options.parser`.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, TextIO, cast

from ...errors import CLIPIQAError, ConfigError
from ...files.printable import plain_lines
from ...files.writing import NAMED
from ...text import nearest
from ...version import __version__
from .options.parser import Parser, call
from .options.terminal import Messages, Terminated, drop, in_shell, invoked, sigterm_as_interrupt, speaking

COMMANDS = {
    "demo": "score bundled photos and degraded versions of them, without any download",
    "score": "score photos: files, folders, globs or a list on standard input",
    "map": "draw maps of where photos look good and where they do not",
    "compare": "compare metrics on data sets, with correlations, intervals and published values",
    "table": "compare several methods in one table: means, best and second best, paired differences",
    "protocols": "list how papers compute their tables, with the source of each protocol",
    "gate": "check whether a second run over the same inputs got worse, for continuous integration",
    "prompts": "list the named prompt pairs",
    "train": "learn the prompts of CLIP-IQA+ from scores that people gave",
    "fit": "fit a metric to a few rated photos of your own, in seconds",
    "export": "write a metric as an ONNX file, for programs without PyTorch",
    "weights": "show the source of every checkpoint, or download checkpoints",
    "verify": "check whether your weights give the published scores",
    "radar": "draw the look and feel of images on radar charts",
    "sweep": "test whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps",
    "pairs": "test whether the better of two versions of an image scores higher",
    "rank": "find the best and the worst photos, list their paths, or look at them",
    "agreement": "test whether the metric chooses between two images as people do",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``clipiqa`` command, and return its exit code.

    Returns:
        0 success, 1 some inputs failed or the output was closed, 2 bad input or a full disk, 130 Ctrl-C, 143 SIGTERM.
    """
    # before torch is loaded, which reads it: waiting threads sleep and leave the CPU to other programs
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _prepare_streams()
    args = argparse.Namespace(command=None)
    words = list(sys.argv[1:] if argv is None else argv)
    with sigterm_as_interrupt(), contextlib.redirect_stderr(cast(TextIO, Messages(sys.stderr))):
        try:
            code, message = _outcome(words, args)
        except KeyboardInterrupt as error:
            if argv is None:  # the process ends here: a second Ctrl-C ends it at once, without a traceback
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            code = 143 if isinstance(error, Terminated) else 130
            message = f"interrupted: {'; '.join(str(arg) for arg in error.args)}".strip(": ")
        if message:
            title = " ".join(filter(None, ("clipiqa", args.command)))
            print(f"{title}: {plain_lines(message)}", file=sys.stderr)
            if args.command == "gate":
                from .gate import publish_error

                publish_error(words, args, message.removeprefix("error: "))
    NAMED.clear()
    return code


def _prepare_streams() -> None:
    """Replace closed streams; let the others write characters that they cannot encode as \\xNN."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _outcome(words: list[str], args: argparse.Namespace) -> tuple[int, str]:
    """Run a command line; return its exit code, and what to tell if it failed."""
    try:
        try:
            return _run(words, args), ""
        finally:
            sys.stdout.flush()
    except CLIPIQAError as error:
        return 2, f"error: {error if isinstance(error, ConfigError) else in_shell(str(error))}"
    except BrokenPipeError:  # `clipiqa score … | head`
        drop(sys.stdout)
        return 1, ""
    except OSError as error:
        drop(sys.stdout)
        where = error.filename or "standard output"
        return 2, f"error: cannot write to {where}: {error.strerror or error}."
    except (MemoryError, RuntimeError) as error:
        from ..images.reading_errors import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        advice = "the memory does not suffice: use smaller images, a smaller batch_size or fewer `workers`."
        return 2, f"error: {in_shell(advice)}"


def _run(argv: list[str], args: argparse.Namespace) -> int:
    parser, commands = parsers()
    if argv and argv[0] in commands:
        args.command = argv[0]  # so that messages about wrong options name the command
        commands[argv[0]].declare(function_of(argv[0]))
    elif argv and not argv[0].startswith("-"):
        parser.error(f"there is no command {argv[0]!r}: {nearest(argv[0], commands)}")
    found, unknown = parser.parse_known_args(argv)
    given = vars(found)
    args.command = given.pop("command")
    completion = given.pop("print_completion", "")
    if unknown:
        parser = commands.get(args.command, parser)
        first = unknown[0].partition("=")[0]
        hint = f": {nearest(first, parser._option_string_actions)}" if first.startswith("--") else ""
        parser.error(f"unknown arguments {' '.join(unknown)}{hint}")
    if completion:
        import shtab

        parser, commands = parsers()
        for name, command in commands.items():
            command.declare(function_of(name))
            command.complete_paths()
        print(shtab.complete(parser, shell=completion))
    elif args.command is None:
        parser.print_help()
        return 2
    else:
        given = commands[args.command].values_in(given.get("config_file", ())) | given
        vars(args).update(given)
        option_files = given.get("config_file", ())
        with speaking(args.command, given.get("quiet", False)), invoked(argv, option_files):
            return call(function_of(args.command), given)
    return 0


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """Return the command line's parser, and command -> its parser, without options yet."""
    parser = Parser(prog="clipiqa", description="CLIP-IQA measures the look and feel of photos in numbers.")
    parser.add_argument("--version", action="version", version=f"clipiqa-pyiqa {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=("bash", "zsh", "fish"),
        metavar="SHELL",
        help="print a completion script for bash, zsh or fish, and exit",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    return parser, {name: subparsers.add_parser(name, help=COMMANDS[name]) for name in COMMANDS}


def function_of(command: str) -> Any:
    return importlib.import_module(f".{command}", __package__).run
