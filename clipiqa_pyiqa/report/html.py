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
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

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
    """A page from ``templates/`` in a package, which may extend ``page.html.j2`` and import ``blocks.html.j2``.

    Style sheets and scripts that lie beside the template (``*.css``, ``*.js``) follow those of every report.
    """
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
    own = sorted(resources.files(package).joinpath("templates").iterdir(), key=lambda part: part.name)
    style, script = (
        "\n".join(
            part.read_text(encoding="utf-8").strip()
            for part in (_HERE / f"report.{kind}", *(part for part in own if part.name.endswith(f".{kind}")))
        )
        for kind in ("css", "js")
    )
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


def image(path: str, apply_exif: bool = True, side: int = _THUMBNAIL) -> Markup:
    """A small JPEG of the file, at most ``side`` pixels long, or words if it cannot be read any more."""
    try:
        picture = thumbnail(path, side, apply_exif)
    except ImageError:
        return Markup('<span class="soft">cannot be read</span>')
    return embedded(picture, Path(path).name, format="JPEG", quality=_JPEG_QUALITY, optimize=True)


def embedded(picture: Image.Image, description: str, *, format: str = "PNG", **options: Any) -> Markup:
    """A picture inside the page, at its own size."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img src="data:image/{};base64,{}" alt="{}" width="{}" height="{}">').format(
        format.lower(), data, one_line(description), picture.width, picture.height
    )
