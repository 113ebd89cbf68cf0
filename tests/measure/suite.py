"""Where the suite's processor time goes, in seconds a file and a test: python tests/measure/suite.py [PYTEST OPTIONS]

Counted is what the process of the tests spends and the processes that it has waited for, so that a busy machine shows
nearly the same as an idle one. Forked commands (tests/helpers/forked.py) count where their server ends, at the end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTES = "CLIPIQA_SUITE_NOTES"
SHOWN = 40


def spent() -> float:
    """Processor seconds of this process so far, and of those that it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def note(name: str, seconds: float) -> None:
    with open(Path(os.environ[NOTES], f"{os.getpid()}"), "a", encoding="utf-8") as file:
        print(json.dumps([name, seconds]), file=file)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    before = spent()
    result = yield
    note(item.nodeid, spent() - before)
    return result


def pytest_collection_finish() -> None:
    note("(start and collection)", spent())


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[NOTES] = folder
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.getenv("PYTHONPATH"))))
        sys.path.insert(0, str(Path(__file__).parent))
        before = spent()
        code = pytest.main(["-q", "-p", "suite", *sys.argv[1:]])
        all_of_it = spent() - before
        tests: dict[str, float] = defaultdict(float)
        for path in Path(folder).iterdir():
            for line in path.read_text(encoding="utf-8").splitlines():
                name, seconds = json.loads(line)
                tests[name] += seconds
    files: dict[str, float] = defaultdict(float)
    for name, seconds in tests.items():
        files[name.partition("::")[0]] += seconds
    for title, times in (("file", files), ("test", tests)):
        print(f"\nprocessor seconds of each {title}, the {SHOWN} most costly")
        for name, seconds in sorted(times.items(), key=lambda each: -each[1])[:SHOWN]:
            if seconds >= 0.1:
                print(f"{seconds:8.1f}  {name}")
    print(f"\n{all_of_it:8.1f}  in all, with what starts and ends beside the tests")
    return code


if __name__ == "__main__":
    sys.exit(main())
