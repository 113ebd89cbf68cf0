"""The documentation site: built without a warning, loads nothing from elsewhere, read from disk, without barriers."""

import re
from pathlib import Path

import pytest
from assertions import check_page
from command_options import all_arguments, is_option

from clipiqa_pyiqa.workbench.commands.app import NAMES

ROOT = Path(__file__).parents[2]

pytest.importorskip("furo", reason="the extra docs is not installed")
pytest.importorskip("myst_parser", reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def site(once, forked):
    """The site without what takes long: its pictures and the page that scores, which have tests of their own."""
    build = ROOT / "docs/site/build.py"

    def fill(folder):
        code = f"import sys; sys.argv = [{str(build)!r}, '--no-page', '--no-gallery', '--out', 'site']; "
        code += f"sys.path.insert(0, {str(build.parent)!r}); import build; sys.exit(build.main())"
        done = forked.run("", folder, code=code)
        assert done.code == 0 and "WARNING" not in done.err, done.err[-3000:]

    return once("site", fill) / "site"


@pytest.fixture(scope="module")
def page(browser):
    return browser.new_page(viewport={"width": 390, "height": 844})


def test_every_page_is_in_the_menu(site):
    menu = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index"]
    assert len(pages) > 15 and not [name for name in pages if f'href="{name}.html"' not in menu]


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(https?:)?//", re.I)
    for path in site.rglob("*.html"):
        assert not loads.search(path.read_text(encoding="utf-8")), path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path.name


def test_reference_has_what_the_front_door_offers(site):
    import clipiqa_pyiqa

    text = (site / "api.html").read_text(encoding="utf-8")
    assert not [name for name in clipiqa_pyiqa.__all__ if f"clipiqa_pyiqa.{name}" not in text and name[0] != "_"]


def test_reference_of_the_command_line_has_every_command_and_option(site):
    source = (site / "commands.html").read_text(encoding="utf-8")
    commands = re.split(r"<h3>clipiqa (\w+)<", source)[1:]
    parts = dict(zip(commands[::2], commands[1::2], strict=True))
    assert [*parts] == [*NAMES]
    for command, arguments in all_arguments().items():
        shown = {
            name
            for names in re.findall(r'<span class="pre">([^<]+)</span>', parts[command])
            for name in names.split(",")
        }
        missing = [
            name for argument in arguments for name in argument.names if is_option(argument) and name not in shown
        ]
        assert not missing, f"{command} lacks {missing}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "choosing", "export", "commands"])
def test_without_barriers_on_a_phone(site, page, name, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto((site / f"{name}.html").as_uri())
    check_page(page)
