"""Checks of ``gate``, and the JUnit XML that CI reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from ...text import one_line


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        verdict: A column's verdict; ``'failed'`` or ``'accepted'`` of a finding; ``'error'``.
        lines: Lines about rows.
    """

    name: str
    verdict: str
    sentence: str
    lines: Sequence[str] = ()
    is_failure: bool = True

    @property
    def tag(self) -> str:
        """The name of its element in JUnit; empty if it passed."""
        if self.verdict == "error":
            return "error"
        return "failure" if self.is_failure else ""


def junit(title: str, checks: Sequence[Check]) -> bytes:
    """Return JUnit XML with a test case for each check."""
    tags = [check.tag for check in checks]
    counts = {f"{tag}s": str(tags.count(tag)) for tag in ("failure", "error")}
    suite = ElementTree.Element("testsuite", {"tests": str(len(checks)), **counts}, name=title)
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", classname="clipiqa.gate", name=one_line(check.name))
        sentence = one_line(check.sentence)
        lines = list(map(one_line, check.lines))
        if check.tag:
            problem = ElementTree.SubElement(case, check.tag, type=check.verdict, message=sentence)
            problem.text = "\n".join(lines)
        else:
            ElementTree.SubElement(case, "system-out").text = "\n".join([sentence, *lines])
    return ElementTree.tostring(suite, "UTF-8")
