"""The building blocks of a page that needs nothing else: no network, no other file.

Whatever comes from file names, labels and error messages goes through ``text``; and should that ever be missed, the
page's Content-Security-Policy still lets only our one script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ..comparison.report.pictures import svg
from ..comparison.report.summary import Cell, Table, plain
from ..errors import ImageError
from .contact_sheet import thumbnail

_HERE = Path(__file__).parent
_THUMBNAIL = 400  # pixels
_JPEG_QUALITY = 80


def page(title: str, header: str, main: str) -> str:
    """A whole page; the title is text, header and main are HTML."""
    style, script = ((_HERE / name).read_text(encoding="utf-8").strip() for name in ("report.css", "report.js"))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
{header}
</header>
<main>
{main}
</main>
<footer><p>One file, which asks nothing of the network. Made by clipiqa-pyiqa.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def table(table: Table) -> str:
    """A table that scrolls sideways where the page is narrow, and below it why cells are empty."""
    numeric = [any(not math.isnan(row[i].value) for row in table.rows) for i in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{_class("number" * number)}>{text(head)}</th>'
        for head, number in zip(table.columns, numeric, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{text(row[0].text)}</th>'
        + "".join(_cell(cell, number) for cell, number in zip(row[1:], numeric[1:], strict=True))
        + "</tr>\n"
        for row in table.rows
    )
    reasons = items(f"<b>{text(label)}</b>: {text(reason)}" for label, reason in table.reasons.items())
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Table: {text(table.title)}"><table>'
        f"<caption>{text(table.title)}</caption><thead><tr>{heads}</tr></thead><tbody>\n{body}</tbody></table></div>"
        + f'<ul class="reasons">{reasons}</ul>'
        * bool(reasons)
    )


def _cell(cell: Cell, number: bool) -> str:
    said, detail = text(cell.text), f"<small>{text(cell.detail)}</small>" * bool(cell.detail)
    if math.isnan(cell.value):
        return f"<td{_class('number words' if number else '')}>{said}{detail}</td>"
    said, detail = said.replace("-", "−"), detail.replace("-", "−")
    said = f'<b title="highest of its column">{said}</b>' if cell.best else said
    return f'<td{_class("number" + " best" * cell.best)} data-value="{float(cell.value)!r}">{said}{detail}</td>'


def plot(figure: Figure, said: str) -> str:
    """A figure in its card; ``said`` is what a screen reader says of it."""
    drawing = svg(figure).replace("<svg ", f'<svg role="img" aria-label="{text(said)}" ', 1)
    return f'<figure class="card plot">{drawing}</figure>'


def image(path: str) -> str:
    """A small JPEG of the file, or words if it cannot be read any more."""
    try:
        picture = thumbnail(path, _THUMBNAIL)
    except ImageError:
        return '<span class="soft">cannot be read</span>'
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="data:image/jpeg;base64,{data}" alt="{text(Path(path).name)}" {size}>'


def pairs(values: Mapping[str, str]) -> str:
    """Names and what they stand for; nothing for no values."""
    found = "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>" for key, value in values.items())
    return f"<dl>{found}</dl>" if found else ""


def items(items: Iterable[str]) -> str:
    """List items of what is HTML already."""
    return "".join(f"<li>{item}</li>" for item in items)


def _class(names: str) -> str:
    return f' class="{names}"' if names else ""


def text(words: str) -> str:
    """Text for HTML, inside an element or a quoted attribute."""
    return html.escape(plain(words))
