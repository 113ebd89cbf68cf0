"""HTML pages in one file, from Jinja2 templates that escape texts."""

import base64
import hashlib
import io
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from ...errors import ImageError
from ...text import one_line, plain_lines
from .pictures import INK, make_texts_plain
from .table import MEANINGS
from .thumbnail import thumbnail


def render(package: str, template: str, **values: Any) -> str:
    """Return a page from a package's ``templates``, with its style sheets and scripts, the only ones that may run."""
    environment = _environment(package)
    style, script = (_joined(environment, suffix) for suffix in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        style=Markup(style), script=Markup(script), script_sha256=digest, **values
    )


@cache
def _environment(package: str) -> Environment:
    """Return Jinja2 with the templates of a package, and with those of this one."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,
    )
    environment.globals |= {"image": image, "isnan": math.isnan, "meanings": MEANINGS}
    environment.filters["minus"] = lambda text: text.replace("-", "−")
    environment.filters["percent_kept"] = lambda text: Markup("&nbsp;%").join(escape(one_line(text)).split(" %"))
    return environment


def _joined(environment: Environment, suffix: str) -> str:
    """Return the style sheets or the scripts of a package's templates, one after another."""
    assert environment.loader is not None
    names = sorted(environment.list_templates([suffix]), key=lambda name: not name.startswith("report."))  # ours first
    return "\n".join(environment.loader.get_source(environment, name)[0].strip() for name in names)


def block(name: str, *values: Any) -> Markup:
    """Return the HTML that a macro of ``blocks.html.j2`` makes of values."""
    blocks = _environment(__package__).get_template("blocks.html.j2").module
    macro = getattr(blocks, name)
    return Markup(macro(*values))


def plot(figure: Figure, description: str, names: Sequence[str] = ()) -> Markup:
    """Return a figure as a transparent ``<svg>`` in the page's text colour; names show on hovering the first points."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.image_inline": True}):
        make_texts_plain(figure)
        figure.savefig(buffer, format="svg", transparent=True, dpi=144, metadata={"Date": None, "Creator": None})
    svg = _bare_svg(buffer.getvalue())
    if names:
        svg = _with_titles(svg, names)
    label = escape(one_line(description))
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return Markup(f'<figure class="card plot">{svg}</figure>')


def _bare_svg(text: str) -> str:
    """Return matplotlib's SVG in the page's text colour, without its head, styles, indents and numbered ids."""
    svg = text[text.index("<svg") :].strip().replace(INK, "currentColor")
    # ids such as figure_1 would occur again in the page's other pictures
    svg = re.sub(r'<metadata>.*?</metadata>|<style.*?</style>| id="[\w.]+_\d+"', "", svg, flags=re.DOTALL)
    return re.sub(r"\n\s*", "\n", svg)


def _with_titles(svg: str, names: Sequence[str]) -> str:
    """Return an SVG whose first points show names on hovering."""
    titles = (f"><title>{escape(plain_lines(name))}</title></use>" for name in names)
    return re.sub(r"(<use [^>]*)/>", lambda match: match[1] + next(titles), svg, count=len(names))


def image(path: str, side: int = 400) -> Markup:
    """Return HTML that shows an image file as a small JPEG; for an unreadable file, HTML that says so."""
    try:
        picture = thumbnail(path, side)
    except ImageError:
        return Markup('<span class="soft">cannot be read</span>')
    return embedded(picture, Path(path).name)


def embedded(picture: Image.Image, description: str, format: str = "JPEG") -> Markup:
    """Return HTML that shows a picture, which is part of the page."""
    buffer = io.BytesIO()
    picture.save(buffer, format, quality=85, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img src="data:image/{};base64,{}" alt="{}" width="{}" height="{}">').format(
        format.lower(), data, one_line(description), picture.width, picture.height
    )
