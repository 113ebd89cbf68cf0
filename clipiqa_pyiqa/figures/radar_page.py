"""Radar charts as one self-contained HTML page, on which an image can be pointed at or switched off."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from ..files.names import plain_lines
from ..report.contact_sheet import thumbnail
from ..report.html import policy
from ..report.plotting import COLOURS
from .radar_charts import charts_of, named, points, said_of
from .scores import Scores, exif_applied

_RADIUS = 130
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e22; --faint: #d5d8dd; --soft: #6b7078; --paper: #fff; --card: #f6f7f9 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --faint: #3b4048; --soft: #9aa0aa; --paper: #16181c; --card: #202329 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 70rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } p { color: var(--soft); margin: .3rem 0 1rem }
.photos { display: flex; flex-wrap: wrap; gap: .8rem }
.photos label { background: var(--card); border-top: 5px solid var(--c); border-radius: 6px; padding: .5rem;
  cursor: pointer; width: 11rem; box-sizing: border-box; overflow-wrap: anywhere; font-size: .85rem }
.photos img { width: 100%; height: 7rem; object-fit: contain; display: block; margin-bottom: .3rem }
.photos label:has(input:not(:checked)) { opacity: .45 }
.charts { display: flex; flex-wrap: wrap; justify-content: center }
svg { width: 30rem; max-width: 100%; height: auto }
svg text { fill: var(--ink); font-size: 11px } svg .scale { fill: var(--soft); font-size: 9px }
svg .grid { fill: none; stroke: var(--faint) }
svg .image { transition: opacity .15s } svg .image polygon { stroke-width: 2.2; fill-opacity: .08 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--faint); text-align: right }
th { max-width: 11rem; overflow-wrap: break-word }
th:first-child, td:first-child { text-align: left } .wide { overflow-x: auto }
summary { cursor: pointer; color: var(--soft); margin-top: 1.2rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .85rem }
dd { margin: 0; overflow-wrap: anywhere }
"""


def radar_page(scores: Scores) -> str:
    """The charts, the photos as legend, the numbers and which CLIP-IQA made them, as one HTML file.

    Raises:
        CLIPIQAError: As :func:`~.radar.charts_of`.
    """
    charts = charts_of(scores)
    names = named(scores)
    rules, cards, upright = [], [], exif_applied(scores.provenance)
    for number, (path, colour) in enumerate(zip(scores.frame.index, COLOURS, strict=False)):
        rules.append(
            f"body:has(#n{number}:not(:checked)) .i{number} {{ display: none }}"
            f" body:has(label.l{number}:hover) .image:not(.i{number}) {{ opacity: .12 }}"
        )
        cards.append(
            f'<label class="l{number}" style="--c: {colour}"><img src="{_picture(path, upright)}" alt="">'
            f'<input type="checkbox" id="n{number}" checked> {escape(names[path])}</label>'
        )
    head = "".join(f"<th>{escape(name)}</th>" for name in names.values())
    rows = "".join(
        f"<tr><td>{escape(question)}</td>"
        + "".join(f"<td>{value:.4f}</td>" for value in scores.frame[question])
        + "</tr>"
        for question in scores.questions
    )
    left_out = "".join(f"<p>Left out: {escape(reason)}</p>" for reason in scores.failed.values())
    said = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in scores.provenance.items())
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Look and feel by CLIP-IQA</title>
<style>{_STYLE}{chr(10).join(rules)}</style>
<h1>Look and feel by CLIP-IQA</h1>
<p>Each spoke is a question: 0 in the middle, 1 at the rim, 0.5 is neither. Point at a photo to see it alone, switch it
off to hide it.</p>
<div class="photos">{"".join(cards)}</div>
<div class="charts">{"".join(_chart(scores, title, questions) for title, questions in charts.items())}</div>
<div class="wide"><table><tr><th>question</th>{head}</tr>{rows}</table></div>
{left_out}
<details><summary>Which CLIP-IQA</summary><dl>{said}</dl></details>
</html>
"""


def _chart(scores: Scores, title: str, questions: Sequence[str]) -> str:
    parts = []
    for level in (0.25, 0.5, 0.75, 1.0):
        parts.append(f'<polygon class="grid" points="{_joined(points([level] * len(questions), _RADIUS))}"/>')
        if level in (0.5, 1.0):
            parts.append(f'<text class="scale" x="3" y="{-_RADIUS * level - 2:.1f}">{level:g}</text>')
    for (x, y), question in zip(points([1] * len(questions), _RADIUS), questions, strict=True):
        anchor = "middle" if abs(x) < 1 else "start" if x > 0 else "end"
        lines = said_of(question).split("\n")
        top = y * 1.12 + (4 if abs(y) < 0.9 * _RADIUS else 10 if y > 0 else -4 - 11 * (len(lines) - 1))
        spans = "".join(
            f'<tspan x="{x * 1.1:.1f}" dy="{11 if n else 0}">{escape(line)}</tspan>' for n, line in enumerate(lines)
        )
        parts.append(f'<line class="grid" x2="{x:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text y="{top:.1f}" text-anchor="{anchor}">{spans}</text>')
    for number, (colour, (path, row)) in enumerate(
        zip(COLOURS, scores.frame[list(questions)].iterrows(), strict=False)
    ):
        corners = points(row.tolist(), _RADIUS)
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"><title>{escape(str(path))}\n'
            f"{escape(question)} {value:.4f}</title></circle>"
            for (x, y), question, value in zip(corners, questions, row, strict=True)
        )
        shape = f'<polygon points="{_joined(corners)}" stroke="{colour}" fill="{colour}"/>'
        parts.append(f'<g class="image i{number}">{shape}{dots}</g>')
    label = f"Radar chart: {title or 'attributes'}"
    heading = f'<text y="-188" text-anchor="middle" style="font-size: 14px">{escape(title)}</text>' if title else ""
    return f'<svg viewBox="-215 -205 430 390" role="img" aria-label="{escape(label)}">{heading}{"".join(parts)}</svg>'


def escape(text: str) -> str:
    """Text as HTML that cannot steer a reader's view."""
    return html.escape(plain_lines(text))


def _joined(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _picture(path: str, apply_exif: bool) -> str:
    buffer = io.BytesIO()
    thumbnail(path, 320, apply_exif).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
