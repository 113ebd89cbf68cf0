"""The ``clipiqa`` command: one thin module per sub-command, imported only when it is the one called.

A command module has a one-line docstring (its help), ``configure(parser)`` and ``run(args) -> int`` (the exit code),
and imports torch inside ``run``, so that ``clipiqa --help`` answers at once. Results go to standard output, everything
else to standard error.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

from ..errors import CLIPIQAError, is_out_of_memory
from ..files.names import plain_lines
from .options.config import Parser
from .options.model import memory_limited
from .options.signals import interrupts_kept, last_words, sigterm_as_interrupt
from .options.streams import standard_streams
from .options.wording import in_options, logged

COMMANDS = {
    "demo": "score bundled photos and degraded versions of them, without any download",
    "score": "score photos: files, folders, globs or a list on standard input",
    "map": "where photos look good and where they do not: maps of local scores",
    "compare": "metrics side by side on data sets, with correlations, intervals and published values",
    "table": "several methods in one table: means, best and second best, paired differences",
    "protocols": "how others compute their tables, with the source of each",
    "gate": "whether a second run over the same inputs got worse, for CI",
    "prompts": "list the named prompt pairs",
    "prompts search": "find the prompt pairs that agree best with scores that people gave",
    "train": "learn the prompts of CLIP-IQA+ from scores that people gave",
    "fit": "fit a metric to a few rated photos of your own, in seconds",
    "export": "write a metric as an ONNX file, for where there is no PyTorch",
    "weights": "show where every checkpoint would come from, or fill a folder with them",
    "verify": "check the weights at hand against published scores",
    "radar": "the look and feel of images on radar charts",
    "sweep": "whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps",
    "pairs": "whether the better of two versions of a picture scores higher",
    "rank": "the best and the worst images of a folder, by any question",
    "agreement": "whether the metric chooses between two images as people do",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``clipiqa`` command.

    Returns:
        Its exit code: 0 fine, 1 some inputs failed, 2 bad input or a full disk, 130 interrupted, 141 the reader of its
        output left before it had all, 143 terminated.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what ASCII or a code page of Windows cannot show becomes \\xNN
            stream.reconfigure(errors="backslashreplace")
    argv, args = list(sys.argv[1:] if argv is None else argv), argparse.Namespace(command=None)

    def name() -> str:
        return " ".join(filter(None, ("clipiqa", args.command)))

    def to_files() -> bool:
        return any(getattr(args, option, None) is not None for option in ("out", "download_to"))

    with standard_streams(name, to_files) as ended, sigterm_as_interrupt():
        try:
            return ended(_run(argv, args), None)
        except CLIPIQAError as error:
            said = in_options(str(error), args.command or "")
            print(f"{name()}: error: {plain_lines(said)}", file=sys.stderr)
            return ended(2, None)
        except KeyboardInterrupt as error:
            said, code = last_words(error)
            print(f"{name()}: {plain_lines(said)}", file=sys.stderr)
            return ended(code, None)
        except (MemoryError, OverflowError, RuntimeError) as error:
            if isinstance(error, OverflowError):
                said = f"a number is too large ({error}): use a smaller one."
            elif is_out_of_memory(error):
                said = "the memory does not suffice: use smaller images, fewer at once, or fewer --workers."
            else:
                raise
            print(f"{name()}: error: {plain_lines(said)}", file=sys.stderr)
            return ended(2, None)
        except BrokenPipeError as error:  # `clipiqa score … | head`: the reader has gone
            return ended(2, error)
        except SystemExit as error:  # argparse's, or of standard output that cannot be written to
            raise SystemExit(ended(error.code if isinstance(error.code, int) else 2, None)) from None


def _run(argv: list[str], args: argparse.Namespace) -> int:
    """Parse a command line into ``args``, and do what it says."""
    if " ".join(argv[:2]) in COMMANDS:  # a command of two words
        argv[:2] = [" ".join(argv[:2])]
    parser, commands = _parsers(COMMANDS)
    if argv[:1] and argv[0] in commands:
        args.command = argv[0]  # for messages about what cannot be parsed
        command_module(argv[0]).configure(commands[argv[0]])
    vars(args).update(vars(_parsed(parser, commands, argv)))
    if args.print_completion:
        return _print_completion(args.print_completion)
    if args.version:
        from ..version import __version__

        print(f"clipiqa-pyiqa {__version__}")
        return 0
    if args.command is None:
        parser.print_help()
        return 2
    if getattr(args, "config_file", None):
        commands[args.command].take_defaults(args)
        vars(args).update(vars(_parsed(parser, commands, argv)))
    with interrupts_kept(), memory_limited(getattr(args, "memory", None)), logged(args.command):
        return command_module(args.command).run(args)


def _parsed(parser: Parser, commands: Mapping[str, Parser], argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; what a command does not have is refused by that command, which knows where it belongs."""
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        commands.get(args.command, parser).refuse(unknown)
    return args


def _parsers(names: Iterable[str]) -> tuple[Parser, dict[str, Parser]]:
    """The parser of the command line and, by name, those of its commands, which are not configured yet."""
    parser = Parser(prog="clipiqa", description="CLIP-IQA: the look and feel of photos, as numbers.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument(
        "--print-completion", choices=("bash", "zsh", "fish"), metavar="SHELL",
        help="print what makes a shell complete this command's words, and exit: bash, zsh or fish",
    )  # fmt: skip
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    told = {name: COMMANDS[name] for name in names}
    commands = {name: subparsers.add_parser(name, help=said, description=said) for name, said in told.items()}
    return parser, commands


def _print_completion(shell: str) -> int:
    from .options.completion import completion

    parser, commands = _parsers(name for name in COMMANDS if " " not in name)
    print(completion(shell, parser, commands, COMMANDS, lambda name, command: command_module(name).configure(command)))
    return 0


def command_module(command: str) -> ModuleType:
    """The module of a command, such as ``'prompts search'``."""
    return importlib.import_module(f".{command.replace(' ', '_')}", __package__)
