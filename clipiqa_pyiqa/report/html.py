"""HTML pages that need nothing else, no network and no other file, from Jinja2 templates.

Whatever a template puts out is escaped, and should that ever be missed, the page's Content-Security-Policy still lets
only our one script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from ..errors import ImageError
from ..files.names import one_line
from .contact_sheet import thumbnail
from .plotting import svg

_HERE = Path(__file__).parent
_THUMBNAIL = 400  # pixels
_JPEG_QUALITY = 80


def policy(script_sha256: str = "") -> str:
    """The Content-Security-Policy of every page: nothing is fetched, and no script runs but the one of that hash."""
    script = f" script-src 'sha256-{script_sha256}';" if script_sha256 else ""
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline';{script} base-uri 'none'; form-action 'none'"


def render(package: str, template: str, **values: Any) -> str:
    """A page from ``templates/`` in a package, which may extend ``page.html.j2`` and import ``blocks.html.j2``."""
    return _environment(package).get_template(template).render(**values)


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,  # Markup is no plain str
    )
    style, script = ((_HERE / name).read_text(encoding="utf-8").strip() for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {"style": Markup(style), "script": Markup(script), "policy": Markup(policy(digest))}
    functions: tuple[Callable[..., Any], ...] = (image, plot, math.isnan)
    environment.globals |= {function.__name__: function for function in functions}
    environment.filters["minus"] = lambda text: text.replace("-", "−")
    environment.filters["file_name"] = lambda path: Path(path).name
    return environment


def plot(figure: Figure, description: str) -> Markup:
    """A figure in its card; the description is for screen readers."""
    label = escape(one_line(description))
    drawing = svg(figure).replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return Markup(f'<figure class="card plot">{drawing}</figure>')


def image(path: str) -> Markup:
    """A small JPEG of the file, or words if it cannot be read any more."""
    try:
        picture = thumbnail(path, _THUMBNAIL)
    except ImageError:
        return Markup('<span class="soft">cannot be read</span>')
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img src="data:image/jpeg;base64,{}" alt="{}" width="{}" height="{}">').format(
        data, one_line(Path(path).name), picture.width, picture.height
    )
