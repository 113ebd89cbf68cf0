"""The ``clipiqa`` command: one module per sub-command, imported when called.

A module's ``run`` declares the command's options, which cyclopts reads; see :mod:`.app`.
"""

import os
import signal
import sys
import textwrap
from collections.abc import Sequence

from cyclopts import CycloptsError

from ...errors import CLIPIQAError, ConfigError, OptionError
from ...files import protected_files
from ...text import counted, hint_for, plain_lines
from .app import NAMES, WHOLE_HELP, command_app, examples_of, exit_codes_of, usage_of
from .command_line import CommandLine
from .layout import WIDEST, Layout
from .options.invocation import invoked
from .options.messages import ESCAPED_MESSAGES, drop, speaking
from .options.signals import Terminated, sigterm_as_interrupt
from .refusals import refusal

STDIN = "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``clipiqa`` command, and return its exit code.

    Returns:
        0 success, 1 some inputs failed or the output was closed, 2 bad input or a full disk, 130 Ctrl-C, 143 SIGTERM.
    """
    # before torch is loaded, which reads it: waiting threads sleep and leave the CPU to other programs
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _prepare_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    with sigterm_as_interrupt(), ESCAPED_MESSAGES:
        try:
            code, message = _outcome(words)
        except KeyboardInterrupt as error:
            if argv is None:  # the process ends here: a second Ctrl-C ends it at once, without a traceback
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            code = 143 if isinstance(error, Terminated) else 130
            message = f"interrupted: {'; '.join(str(arg) for arg in error.args)}".strip(": ")
        if message:
            _publish(words, message)
    protected_files.set(())
    return code


def _prepare_streams() -> None:
    """Replace closed streams; let the others write characters that they cannot encode as \\xNN."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _command_in(words: Sequence[str]) -> str:
    """Return the command that a command line names; an empty text if it names none."""
    return words[0] if words and words[0] in NAMES else ""


def _publish(words: Sequence[str], message: str) -> None:
    """Say why a command line failed."""
    command = _command_in(words)
    print(f"{f'clipiqa {command}'.strip()}: {plain_lines(message)}", file=sys.stderr)
    if command == "gate":
        from .gate_error import publish_error

        publish_error(words[1:], message.removeprefix("error: "))


def _outcome(words: list[str]) -> tuple[int, str]:
    """Run a command line; return its exit code, and what to tell if it failed."""
    line = CommandLine()
    try:
        try:
            return _run(words, line), ""
        finally:
            sys.stdout.flush()
    except CycloptsError as error:
        return 2, f"error: {refusal(error)}"
    except CLIPIQAError as error:
        # a file of options has Python's names
        flags = {} if isinstance(error, ConfigError) else line.flags()
        return 2, f"error: {error.text(flags)}"
    except BrokenPipeError:  # `clipiqa score … | head`
        drop(sys.stdout)
        return 1, ""
    except OSError as error:
        if error.filename is None and isinstance(error, FileNotFoundError):  # of os.getcwd, and of tempfile
            return 2, f"error: the current folder, or the one of temporary files, cannot be used: {error.strerror}."
        drop(sys.stdout)
        where = error.filename or "standard output"
        return 2, f"error: cannot write to {where}: {error.strerror or error}."
    except (MemoryError, RuntimeError) as error:
        from ..images.lack_of_memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        advice = "use smaller images, a smaller --batch-size or fewer --workers."
        return 2, f"error: the memory does not suffice: {advice}"


def _run(words: list[str], line: CommandLine) -> int:
    command = _command_in(words)
    if words and not command and not words[0].startswith("-"):
        raise OptionError(f"there is no command {words[0]!r}: {hint_for(words[0], NAMES)}")
    layout = Layout(WHOLE_HELP in words, usage_of(command))
    app = command_app(words, line, layout)
    function, bound, _ = app.parse_args(_with_stdin_last(words))
    if function.__name__ == "help_print":  # which cyclopts calls for --help
        function(*bound.args, **bound.kwargs)
        if command:
            _print_end_of_help(command, layout)
        return 0
    protected_files.set(line.named_files())
    line.check_outputs()
    line.check_needs()
    with speaking(command, line.is_quiet), invoked(words, line.option_files):
        return function(*bound.args, **bound.kwargs) or 0


def _with_stdin_last(words: list[str]) -> list[str]:
    """Return the words with ``-``, the standard input, after ``--``, without which cyclopts takes it for an option."""
    if STDIN not in words or "--" in words[: words.index(STDIN)]:
        return words
    others = [word for word in words if word != STDIN]
    if "--" not in others:
        others.append("--")
    return [*others, STDIN]


def _print_end_of_help(command: str, layout: Layout) -> None:
    """Print a command's examples; below short help, also its exit codes, and where the other options are."""
    examples = examples_of(command)
    if examples:
        print(f"Examples:\n{examples}")
    if layout.is_whole:
        return
    print(f"\n{textwrap.fill(exit_codes_of(command), WIDEST)}")
    also = " and ".join(flag for flag in ("--config", "--device") if flag in layout.hidden_flags)
    if also:
        also = f", such as {also},"
    print(f"{counted(len(layout.hidden_flags), 'more option')}{also} and details: clipiqa {command} {WHOLE_HELP}")
