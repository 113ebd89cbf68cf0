"""Threads share standard output and the log: each finds its own, and both are as before in the end."""

import logging
import sys
import threading
from contextlib import ExitStack

import pytest

from clipiqa_pyiqa.text import log
from clipiqa_pyiqa.workbench.commands import main
from clipiqa_pyiqa.workbench.commands.options.messages import speaking
from clipiqa_pyiqa.workbench.files.streams import output_as_messages, output_of_this_thread


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_the_output_of_a_thread_stays_while_another_prints_messages(capsys):
    def command():
        with output_of_this_thread():
            print("a row")

    with output_as_messages():
        print("of a library")
        in_a_thread(command)
        in_a_thread(lambda: print("of a library's thread"))
    print("a table")
    printed = capsys.readouterr()
    assert printed.out == "a row\na table\n"
    assert printed.err == "of a library\nof a library's thread\n"


def test_streams_are_as_before_whichever_thread_ends_first():
    before = sys.stdout
    entered = threading.Event()
    may_end = threading.Event()

    def longer():
        with output_as_messages():
            entered.set()
            may_end.wait()

    thread = threading.Thread(target=longer)
    with output_as_messages():
        thread.start()
        entered.wait()
    may_end.set()
    thread.join()
    assert sys.stdout is before


def test_each_message_is_told_once_by_the_command_of_its_thread(capsys):
    level = log.level

    def other():
        with speaking("rank", True):
            log.info("not told, as this command is quiet")
            log.warning("of rank")
            in_a_thread(lambda: log.warning("of a thread without a command"))

    with speaking("score", False):
        in_a_thread(other)
        log.info("of score")
    assert capsys.readouterr().err.splitlines() == [
        "clipiqa rank: of rank",
        "clipiqa score: of a thread without a command",
        "clipiqa score: of score",
    ]
    assert log.level == level and not any(handler.name in ("score", "rank") for handler in log.handlers)


@pytest.mark.quick
def test_commands_in_threads_leave_streams_and_log_as_they_were(capfd):
    before = (sys.stdout, sys.stderr, log.level, list(log.handlers))
    barrier = threading.Barrier(2)

    def command():
        barrier.wait()
        for _ in range(20):
            main(["prompts", "quality"])
            main(["prompts", "--no-such-option"])

    with ExitStack() as threads:
        for _ in range(2):
            thread = threading.Thread(target=command)
            thread.start()
            threads.callback(thread.join)
    assert (sys.stdout, sys.stderr, log.level, list(log.handlers)) == before
    printed = capfd.readouterr()
    assert printed.out.count("Good photo.") == printed.err.count("Unknown option: --no-such-option") == 40
    assert log.getEffectiveLevel() <= logging.WARNING
