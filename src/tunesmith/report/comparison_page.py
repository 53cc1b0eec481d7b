"""`compare.html`: the table, the two trade-offs as one picture, the rates that were tried, and the recommendation."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.core.files import write_text
from tunesmith.report.comparison import Comparison, Details, Row
from tunesmith.report.comparison_cells import Cell, cells, facts, head, value
from tunesmith.report.comparison_tables import data_needed, each, learning_rates
from tunesmith.report.html import document, unbroken
from tunesmith.report.markup import Html, element, flattened, joined, listing, pairs, paragraph, shown
from tunesmith.report.numbers import count, duration, metric, size
from tunesmith.report.scatter import Axis, Point, scatter

NAME = "compare.html"


def write_page(folder: Path, found: Comparison) -> Path:
    path = folder / NAME
    write_text(path, page(found, folder))
    return path


def page(found: Comparison, folder: Path) -> str:
    """-> the whole document. `folder` is named in the commands."""
    details = found.details
    compared = [row for row in found.rows if row.refused is None]
    ways = "One way" if len(found.rows) == 1 else f"{len(found.rows)} ways"
    title = f"{ways} to tune {Path(details.base).name or details.base}"
    parts = {
        "The table": _table(found),
        "The trade-offs": _picture(compared, details) if compared else None,
        "Each against each": each(compared, details) if len(compared) > 2 else None,
        "Data needed": data_needed(compared),
        "Learning rates": learning_rates(details),
        "What was cut": _list(details.said) if details.said else None,
        "How it was measured": _how(details),
        "Environment": pairs((_key(key), _plain(key, v)) for key, v in flattened(details.environment)),
        "Recommendation, and its doubts": _recommendation(compared, details, folder),
    }
    sections = [element("section", element("h2", name), part) for name, part in parts.items() if part is not None]
    footer = element("footer", "Written by tunesmith from the runs beside this page.")
    return document(title, [_header(found, title, folder), *sections, footer], kind="comparison")


def _header(found: Comparison, title: str, folder: Path) -> Html:
    details = found.details
    runs = f"{count(details.steps)} steps, {count(details.examples)} examples, {_seeds(details)}"
    tiles = [
        ("Recommended", details.recommended or "none", f"of {len(found.rows)} methods"),
        ("The base", value(details.base_quality), f"{metric(details.base_quality.metric).label.lower()}, untrained"),
        ("Held-out pictures" if details.paints else "Test rows", count(details.items), "the same for every method"),
        ("Time", duration(details.seconds), runs),
    ]
    figures = (
        element("div", element("dt", label), element("dd", shown_, element("small", unbroken(note))))
        for label, shown_, note in tiles
    )
    return element(
        "header",
        element("p", f"tunesmith comparison {folder.resolve().name}", class_="kind"),
        element("h1", title),
        element("p", unbroken(details.sentence), class_="answer"),
        element("dl", *figures, class_="figures"),
    )


def _seeds(details: Details) -> str:
    return "one seed" if len(details.seeds) == 1 else f"{len(details.seeds)} seeds"


def _table(found: Comparison) -> Html:
    how = metric(found.details.base_quality.metric)
    better = "more is better" if how.higher_is_better else "less is better"
    names = facts(found.rows)
    titles = [element("span", name) for name in head(found.rows, found.details)]
    titles[1] = element("span", how.label, element("small", better))
    if not found.details.paints:
        titles[2] = element("span", "Forgetting", element("small", "rise of perplexity, 0 is none"))
    lines = []
    for row in found.rows:
        first, *rest = cells(row, found.details, names)
        chosen = row.method == found.details.recommended
        name = joined([first.main, element("span", "recommended", class_="pick") if chosen else "", _small(first)])
        cut = rest[:1] if row.refused is not None else rest
        right = ("number",) * len(rest)
        lines.append(
            element(
                "tr",
                element("th", name, scope="row"),
                *(
                    element(
                        "td", cell.main, _small(cell), class_=right[i], colspan=len(rest) if len(cut) == 1 else None
                    )
                    for i, cell in enumerate(cut)
                ),
                class_="refused" if row.refused is not None else "chosen-row" if chosen else None,
            )
        )
    top = element(
        "tr", *(element("th", cell, scope="col", class_="number" if i else None) for i, cell in enumerate(titles))
    )
    inner = element("table", element("thead", top), element("tbody", *lines), class_="methods")
    note = (
        "Intervals hold 95 %, over {rows} and seeds; differences are paired, item by item and seed by seed. Time and "
        "memory are medians over runs in processes of their own, which took turns. {last}"
    ).format(**(_PAINTED if found.details.paints else _WRITTEN))
    notes = [note, _PACKED] if any(row.method == "qlora" for row in found.rows) else [note]
    return joined([element("div", inner, class_="wide"), *(paragraph(one, class_="note") for one in notes)])


_WRITTEN = {
    "rows": "test rows",
    "last": "A token written: the trained model, the base, and the change written into the weights.",
}
_PAINTED = {"rows": "held-out pictures", "last": "What else is known of a method is the median over its seeds."}
_PACKED = (
    "qlora is held against the base as it was before it was packed into 4 bits: what the packing costs is in its "
    "quality and its forgetting, and may be most of what it seems to forget."
)


def _small(cell: Cell) -> Html:
    return joined(element("small", unbroken(line)) for line in cell.small)


def _picture(rows: list[Row], details: Details) -> Html:
    how = metric(details.base_quality.metric)
    up = "" if how.higher_is_better else ", less is better and further up"
    written = (lambda v: f"{100 * v:g} %") if how.percent else (lambda v: f"{v:g}")
    beside = Axis(how.label + up, written, turned=not how.higher_is_better)
    level = (details.base_quality.mean, "base")
    cost = [_point(row, row.seconds_per_step or 0.0, None, row.method in details.best_cost) for row in rows]
    charts = [scatter(cost, Axis("seconds a step", lambda v: f"{v:g}", zero=True), beside, level)]
    known = [(row, row.forgetting) for row in rows if row.forgetting is not None]
    if known:
        points = [_point(r, f.mean, (f.low, f.high), r.method in details.best_forgetting) for r, f in known]
        charts.append(
            scatter(
                points, Axis("rise of perplexity on general text", lambda v: f"{v:+g}" if v else "0"), beside, level
            )
        )
    note = "Filled and joined: the best trade-offs (Pareto); no other method is as good in both and better in one."
    figures = element("div", *(element("div", Html(chart), class_="half") for chart in charts), class_="halves")
    return joined([element("figure", figures), paragraph(note, class_="note")])


def _point(row: Row, x: float, x_ends: tuple[float, float] | None, best: bool) -> Point:
    assert row.quality is not None
    return Point(row.method, x, row.quality.mean, (row.quality.low, row.quality.high), x_ends, best)


def _list(sentences: Iterable[str]) -> Html:
    return element("ul", *(element("li", _capital(unbroken(one))) for one in sentences), class_="doubts")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _how(details: Details) -> Html:
    how = metric(details.base_quality.metric)
    general = "" if details.base_general is None else f"{details.base_general:.2f} for the base"
    each_run = f"{count(details.steps)} steps, {count(details.examples)} examples, the same for every method"
    if details.paints:
        rest = [
            ("Noise", "the same for every method, seed and step: eight levels, spread evenly"),
            ("Learning rate", "each method's own, or the one that its recipe gives"),
        ]
    else:
        rest = [
            (
                "Forgetting",
                "perplexity of general English that is not the task's, with what was trained switched on, less that of "
                f"the base; {general}. An adapter that is switched off leaves the base as it was",
            ),
            ("Learning rate", "of each method by trial: a few rates, a few steps each, validation loss"),
            ("Not merged", "; ".join(f"{name}: {why}" for name, why in details.cannot_merge.items()) or "none"),
        ]
    return pairs(
        [
            ("Data", details.data),
            ("Each run", each_run),
            ("Seeds", f"{shown(details.seeds)}; for each seed the methods were trained in turn"),
            ("Quality", f"{how.label}: {how.meaning}"),
            *rest,
        ]
    )


def _recommendation(rows: list[Row], details: Details, folder: Path) -> Html:
    parts = [paragraph(unbroken(details.sentence))]
    if details.doubts:
        parts.append(_list(details.doubts))
    if rows:
        parts.append(_commands(rows, details, folder))
    return joined(parts)


def _commands(rows: list[Row], details: Details, folder: Path) -> Html:
    name = details.recommended or rows[0].method
    place = shlex.quote(str(folder / "runs" / name / f"seed-{details.seeds[0]}"))
    use = f'generate {place} --prompt "..."' if details.paints else f"chat {place}     "
    return listing(
        f"tunesmith {use} # a finished run, as any other\n"
        f"tunesmith report {place}    # its own report\n"
        f"tunesmith train {place}/recipe.yaml output=runs/longer train.max_steps=...    # the same, longer"
    )


def _key(key: str) -> str:
    return key.removesuffix("_bytes").removeprefix("versions.").replace("_", " ")


def _plain(key: str, given: Any) -> str:
    return size(given) if key.endswith("_bytes") and isinstance(given, int) else shown(given)
