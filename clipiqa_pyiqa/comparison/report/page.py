"""A comparison as one HTML file that a person reads, with every picture inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...errors import CLIPIQAError
from ...files.writing import written_beside
from ...report.html import image, items, page, pairs, plot, table, text
from ..disagreement import Disagreement, disagreements
from ..results import Comparison, DataSetResult
from . import pictures
from .summary import data_set_table, legend, number, overview_table, provenances, published_table

_SHOWN = 12  # pictures of each kind that are seen without unfolding more
_PLACES = 6  # metrics under an image; of more, the highest and the lowest
_LISTED = 500  # skipped images by name

Records = list[dict[str, Any]]


def write_report(comparison: Comparison, path: str | Path) -> None:
    """Write a comparison as one self-contained HTML file.

    Args:
        comparison: What to tell.
        path: The file, replaced as a whole if it exists.

    Raises:
        CLIPIQAError: The file cannot be written.
    """
    written = report(comparison)
    try:
        with written_beside(Path(path)) as partial:
            partial.write_text(written, encoding="utf-8")
    except OSError as error:
        raise CLIPIQAError(f"The report {str(path)!r} cannot be written: {error.strerror or error}.") from error


def report(comparison: Comparison) -> str:
    """The page that ``write_report`` writes."""
    remaining = iter(comparison.frame().to_dict("records"))
    results = [(data, [next(remaining) for _ in data.metrics]) for data in comparison.data_sets]
    sections = "".join(_data_set(number, data, rows) for number, (data, rows) in enumerate(results))
    return page(
        _title(comparison),
        _header(comparison, results),
        _overview(results) + sections + _metrics(comparison) + _settings(comparison.settings),
    )


def _header(comparison: Comparison, results: Sequence[tuple[DataSetResult, Records]]) -> str:
    targets = [(f"data-{number}", data.name) for number, data in enumerate(comparison.data_sets)]
    if len(_rated(results)) > 1:
        targets.insert(0, ("overview", "All data sets"))
    targets.append(("metrics", "Which metrics exactly"))
    links = (f'<a href="#{where}">{text(name)}</a>' for where, name in targets)
    return f"""<p class="eyebrow">clipiqa compare</p>
<h1>{text(_title(comparison))}</h1>
<ul class="findings">{items(_finding(data, rows) for data, rows in results)}</ul>
<nav aria-label="Sections"><ul>{items(links)}</ul></nav>
<div class="reading"><h2>Reading the numbers</h2><ul>{items(map(text, legend(comparison)))}</ul></div>"""


def _title(comparison: Comparison) -> str:
    metrics = len({label for data in comparison.data_sets for label in data.metrics})
    data_sets = len(comparison.data_sets)
    where = comparison.data_sets[0].name if data_sets == 1 else f"{data_sets} data sets"
    return f"{metrics} image-quality metric{'s' * (metrics != 1)} on {where}"


def _finding(data: DataSetResult, rows: Records) -> str:
    """What came out on a data set, in one or two sentences of HTML."""
    name = f"<b>{text(data.name)}</b>"
    if data.mos is None:
        return f"On {name} nobody was asked: {len(data.scores)} images with scores, none with an opinion to agree with."
    ranked = sorted((row for row in rows if not math.isnan(row["SROCC"])), key=lambda row: -row["SROCC"])
    if not ranked:
        return f"On {name} no metric could be correlated with opinion; the reasons are in its table."
    best, *others = ranked
    if best["SROCC"] <= 0:
        said = f"On {name} ({best['n']} images) no metric ranks as people do: the highest SROCC is that of "
        return said + f"<b>{text(best['metric'])}</b>, {_srocc(best)}. Is a low opinion score good there?"
    said = f"On {name} ({best['n']} images) <b>{text(best['metric'])}</b> ranks most as people do: SROCC {_srocc(best)}"
    if not others:
        return f"{said}."
    said += f", then <b>{text(others[0]['metric'])}</b> with {_srocc(others[0])}."
    if others[0]["SROCC high"] >= best["SROCC low"]:
        said += " Their intervals overlap, so that the order of the two is not certain."
    return said


def _srocc(row: Mapping[str, Any]) -> str:
    interval = "" if math.isnan(row["SROCC low"]) else f" [{number(row['SROCC low'])}, {number(row['SROCC high'])}]"
    return '<span class="whole">' + f"{number(row['SROCC'])}{interval}".replace("-", "−") + "</span>"


def _rated(results: Sequence[tuple[DataSetResult, Records]]) -> list[tuple[DataSetResult, Records]]:
    return [(data, rows) for data, rows in results if data.mos is not None]


def _overview(results: Sequence[tuple[DataSetResult, Records]]) -> str:
    tables = overview_table(_rated(results))
    return "".join(f'<section id="overview"><h2>{text(t.title)}</h2>{table(t)}</section>' for t in tables)


def _data_set(number: int, data: DataSetResult, rows: Records) -> str:
    own = data_set_table(data, rows)
    parts = [f"<h2>{text(data.name)}</h2>", *(f'<p class="facts">{text(line)}</p>' for line in own.before)]
    parts += [table(own), _skipped(data.skipped)]
    parts += [f"<h3>Beside published values</h3>{table(known)}" for known in published_table(data, rows)]
    scored = [row["metric"] for row in rows if row["n"]]
    if scored:
        parts.append(_summaries(data, scored))
        parts.append(_scores(data, scored, {row["metric"]: row["SROCC"] for row in rows}))
        parts.append(_gallery(data))
    return f'<section id="data-{number}">{"".join(parts)}</section>\n'


def _summaries(data: DataSetResult, scored: Sequence[str]) -> str:
    drawn = []
    if data.mos is not None:
        alone = Comparison((data,))
        drawn.append(plot(pictures.bars(alone), f"Bars: SROCC of each metric with opinion on {data.name}"))
    if len(scored) > 1:
        drawn.append(plot(pictures.correlation_heatmap(data), f"Heat map: SROCC between metrics on {data.name}"))
    return f'<h3>How the metrics compare</h3><div class="plots wide">{"".join(drawn)}</div>' if drawn else ""


def _scores(data: DataSetResult, scored: Sequence[str], correlation: Mapping[str, float]) -> str:
    """Every metric's scores against opinion, the best first; the scores alone where there is no opinion."""
    draw: Callable[[DataSetResult, str], Figure]
    if data.mos is None:
        title, what, draw, order = "Scores", "Histogram of", pictures.histogram, list(scored)
    else:
        title, what, draw = "Scores against opinion", "Scores against opinion:", pictures.scatter
        order = sorted(scored, key=lambda label: math.inf if math.isnan(correlation[label]) else -correlation[label])
    drawn = [plot(draw(data, label), f"{what} {label} on {data.name}") for label in order]
    shown = f'<h3>{title}</h3><div class="plots">{"".join(drawn[:_SHOWN])}</div>'
    if len(drawn) > _SHOWN:
        more = f'<div class="plots">{"".join(drawn[_SHOWN:])}</div>'
        shown += f"<details><summary>{len(drawn) - _SHOWN} more metrics</summary>{more}</details>"
    return shown


def _gallery(data: DataSetResult) -> str:
    chosen = disagreements(data, _SHOWN)
    if not chosen:
        return ""
    said = (
        "A dot is where a metric places the image among all of them: at 90 % it holds nine of ten images to be worse."
    )
    said += " The orange diamond is where people place it." * (chosen[0].opinion is not None)
    shown = "".join(map(_disagreement, chosen))
    return f'<h3>Where the metrics disagree most</h3><p class="soft">{said}</p><div class="gallery">{shown}</div>'


def _disagreement(one: Disagreement) -> str:
    labels = list(one.places)
    if len(labels) > _PLACES:
        labels = labels[: _PLACES // 2] + labels[-_PLACES // 2 :]
    places = "".join(_place(label, one.places[label]) for label in labels)
    if one.opinion is not None:
        places += _place("people", one.opinion, ' class="people"')
    hidden = len(one.places) - len(labels)
    places += f'<li class="soft">{hidden} more between</li>' if hidden else ""
    name = text(Path(one.path).name)
    return (
        f'<figure class="card"><div class="picture">{image(one.path)}</div>'
        f'<figcaption><bdi class="name">{name}</bdi><ul class="places">{places}</ul></figcaption></figure>'
    )


def _place(who: str, share: float, kind: str = "") -> str:
    name = f'<span class="who" title="{text(who)}">{text(who)}</span>'
    track = f'<span class="track"><i style="left:{share:.1%}"></i></span>'
    return f'<li{kind}>{name}{track}<span class="share">{share * 100:.0f} %</span></li>'


def _skipped(skipped: Mapping[str, str]) -> str:
    if not skipped:
        return ""
    named = [
        f"<bdi>{text(why if path in why else f'{path}: {why}')}</bdi>" for path, why in list(skipped.items())[:_LISTED]
    ]
    more = [f"and {len(skipped) - _LISTED} more"] * (len(skipped) > _LISTED)
    count = f"{len(skipped)} image{'s' * (len(skipped) > 1)} left out of all metrics"
    return f"<details><summary>{count}</summary><ul>{items([*named, *more])}</ul></details>"


def _metrics(comparison: Comparison) -> str:
    several = len(comparison.data_sets) > 1
    cards = []
    for label, provenance, names in provenances(comparison):
        where = f'<p class="soft">on {text(", ".join(names))}</p>' * several
        known = pairs(provenance) or '<p class="soft">Nothing more is known of it.</p>'
        cards.append(f'<div class="card"><h3>{text(label)}</h3>{where}{known}</div>')
    title = '<section id="metrics"><h2>Which metrics exactly</h2>'
    return f'{title}<div class="metrics">{"".join(cards)}</div></section>'


def _settings(settings: Mapping[str, str]) -> str:
    if not settings:
        return ""
    return f'<section id="settings"><h2>How it was run</h2><div class="card">{pairs(settings)}</div></section>'
