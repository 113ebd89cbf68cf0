"""Builds the documentation site from docs/: guide, references, gallery, and the page that scores in the browser.

    python docs/site/build.py [--out build/site] [--no-page] [--no-gallery]

Strict: a broken link, a page that cannot be parsed or a picture that cannot be made ends it with an error.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import browser_page
import commands_page
import gallery
from sphinx.cmd.build import main as sphinx

import clipiqa_pyiqa

SITE = Path(__file__).parent
DOCS, ROOT = SITE.parent, SITE.parents[1]

NAVIGATION = {  # the menu's order; pages that are not named here come under "More"
    "Use it": ["install", "scoring", "prompts", "maps", "scale"],
    "Choose and compare": ["choosing", "compare", "table", "published-numbers", "mini"],
    "Weights": ["weights"],
    "Train and deploy": ["loss", "training", "export"],
    "Look it up": ["gallery", "commands", "api", "reproduce", "performance", "reliability", "design"],
    "More": ["examples/README"],
}
PAGE_LINK = re.compile(r"<!-- the page -->\n.*\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/site", help="default: build/site")
    parser.add_argument("--no-page", action="store_true", help="leave out the page that scores in the browser")
    parser.add_argument("--no-gallery", action="store_true", help="leave out the gallery, whose pictures take a minute")
    args = parser.parse_args()
    out: Path = args.out.resolve()
    if out.exists() and any(out.iterdir()) and not (out / "objects.inv").is_file() and not (out / "score").is_dir():
        print(f"{out} is not empty and holds no site: name another folder.", file=sys.stderr)
        return 2
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        has_page = not args.no_page and browser_page.build(out / "score")
        if not args.no_page and not has_page:
            print(
                "npm is not installed, so onnxruntime-web is missing: the site has no page that scores.",
                file=sys.stderr,
            )
        copy_pages(source)
        if not has_page:
            for page in (source / "index.md", source / "export.md"):
                page.write_text(PAGE_LINK.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
        (source / "api.rst").write_text(reference(), encoding="utf-8")
        (source / "commands.md").write_text(commands_page.page(), encoding="utf-8")
        if not args.no_gallery:
            gallery.build(source)
        index = source / "index.md"
        index.write_text(index.read_text(encoding="utf-8") + menu(source), encoding="utf-8")
        code = sphinx(["-W", "--keep-going", "-q", "-b", "html", "-c", str(SITE), str(source), str(out)])
    shutil.rmtree(out / ".doctrees", ignore_errors=True)
    repair(out)
    if code == 0:
        print(f"python -m http.server -d {out}")
    return code


def copy_pages(source: Path) -> None:
    """Copy the pages, and the files outside of docs/ that they link to, so that no link leaves the site."""
    for path in [
        *DOCS.glob("*.md"),
        *DOCS.glob("images/*.png"),
        *DOCS.glob("images/*.jpg"),
        *DOCS.glob("examples/**/*"),
    ]:
        if path.is_file() and "__pycache__" not in path.parts:
            target = source / path.relative_to(DOCS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for page in source.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for link in set(re.findall(r"\]\((\.\.?/[^)#\s]+)", text)):
            text = text.replace(f"]({link}", f"]({_beside(link, page, source)}")
        page.write_text(text, encoding="utf-8")


def _beside(link: str, page: Path, source: Path) -> str:
    """Return a link that stays among the pages as it is; copy any other file and return a link to the copy."""
    original = (DOCS / page.relative_to(source)).parent / link
    if original.resolve().is_relative_to(DOCS) or not original.is_file():
        return link
    copied = source / "sources" / original.resolve().relative_to(ROOT)
    copied.parent.mkdir(parents=True, exist_ok=True)
    if copied.suffix == ".md":
        copied = copied.with_suffix(".txt")  # not a page of the site
    shutil.copy(original, copied)
    return os.path.relpath(copied, page.parent)


REPAIRS = {  # output of Sphinx and Furo that screen readers and keyboards cannot use
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<th class="head"><p></p></th>': "<td></td>",
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}


def repair(out: Path) -> None:
    """Make the pages of the site fit for keyboards and screen readers."""
    for page in out.glob("**/*.html"):
        if page.parent.name != "score":
            text = page.read_text(encoding="utf-8")
            for fault, right in REPAIRS.items():
                text = text.replace(fault, right)
            page.write_text(text, encoding="utf-8")


def reference() -> str:
    """Return the page of the API: metric and loss, functions, errors."""
    offered = {name: getattr(clipiqa_pyiqa, name) for name in clipiqa_pyiqa.__all__ if not name.startswith("_")}
    errors = [name for name, value in offered.items() if isinstance(value, type) and issubclass(value, Exception)]
    classes = [name for name, value in offered.items() if isinstance(value, type) and name not in errors]
    functions = [name for name in offered if name not in (*errors, *classes)]
    lines = [_title("Reference", "="), "The public names of ``clipiqa_pyiqa``.\n"]
    for title, names, directive in (
        ("Metric and loss", classes, "autoclass"),
        ("Functions", functions, "autofunction"),
        ("torchmetrics' interface", ["torchmetrics.CLIPImageQualityAssessment"], "autoclass"),
        ("Errors", errors, "autoclass"),
    ):
        lines.append(_title(title, "-"))
        for name in names:
            lines.append(f".. {directive}:: clipiqa_pyiqa.{name}\n")
            if directive == "autoclass":
                lines[-1] += "   :exclude-members: training, forward_unchecked\n"
    return "\n".join(lines)


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def menu(source: Path) -> str:
    """Return the menu, as toctrees for the end of the first page."""
    found = [path.relative_to(source).with_suffix("") for kind in ("*.md", "*.rst") for path in source.rglob(kind)]
    pages = {path.as_posix() for path in found}
    named = [page for names in NAVIGATION.values() for page in names]
    unnamed = sorted(pages - {*named, "index"})
    parts = []
    for title, names in NAVIGATION.items():
        entries = [page for page in names if page in pages] + (unnamed if title == "More" else [])
        if entries:
            parts.append("\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *entries, "```", ""]))
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
