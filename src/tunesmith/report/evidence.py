"""The sections of the report that show what changed: curves, before and after, tables, answers, forgetting."""

import math
from collections.abc import Sequence
from typing import Any

from tunesmith.report import course
from tunesmith.report.answer import number, values, verdict
from tunesmith.report.folder import Line, RunFiles
from tunesmith.report.markup import Html, element, joined, paragraph, table
from tunesmith.report.numbers import in_order, metric, probability, share
from tunesmith.report.svg import interval_chart, loss_chart
from tunesmith.train.overfitting import Gap

_SHOWN = 8  # examples
_SMALL = 0.08  # of a scale: a change that is hard to see
_LONG = 900  # characters of a prompt or answer
_SIGNS = {"better": "\u25b2", "worse": "\u25bc"}


def missing(files: RunFiles, name: str, what: str) -> Html:
    """Say that a part is not there, and why."""
    reason = files.missing.get(name)
    where = f": {name} {reason}" if reason else ""
    return paragraph(f"{what}{where}.", class_="absent")


def curves(files: RunFiles) -> Html:
    train = _points(files.metrics, "loss")
    held = _points(files.metrics, "validation_loss")
    if not train and not held:
        return missing(files, "metrics.jsonl", "No losses were recorded")
    best = min(held, key=lambda point: point[1]) if held else None
    keys = [
        element("span", "training, smoothed", class_="key key-smooth"),
        element("span", "each step", class_="key key-raw"),
    ]
    if held:
        keys.append(element("span", "validation", class_="key key-held"))
    chart = element(
        "figure", element("div", *keys, class_="keys"), Html(loss_chart(train, held, best, course.unit(files)))
    )
    turn = Gap.of(_numbers(files.metrics)).turn
    warned = () if turn is None else (turn.sentence, turn.advice())
    said = [_about_curves(held), *(f"{one[:1].upper()}{one[1:]}." for one in warned)]
    return joined([chart, *(paragraph(sentence, class_="note") for sentence in said)])


def _numbers(lines: Sequence[Line]) -> list[dict[str, float]]:
    """-> what of the lines can be reckoned with: a file may hold anything."""
    found = [{name: n for name in line if (n := number(line, name)) is not None and math.isfinite(n)} for line in lines]
    return [line for line in found if "step" in line]


def _about_curves(held: Sequence[tuple[float, float]]) -> str:
    if not held:
        return (
            "Nothing was held out for validation, so the weights of the last step are kept and overfitting is not seen."
        )
    best = min(held, key=lambda point: point[1])
    if best == held[-1]:
        return "The validation loss was lowest at the end: a longer run might still gain."
    return (
        f"The validation loss was lowest at step {best[0]:,.0f} and rose again after it: "
        "the weights of that step are the ones that were kept."
    )


def _points(lines: Sequence[Line], name: str) -> list[tuple[float, float]]:
    found = ((number(line, "step"), number(line, name)) for line in lines)
    return [(step, loss) for step, loss in found if step is not None and loss is not None and math.isfinite(loss)]


def before_after(files: RunFiles) -> Html:
    names = [n for n in in_order(_names(files)) if not n.startswith("general_")]
    if not names:
        return missing(files, "evaluation.json", "Base and tuned model were not compared")
    parts: list[object] = [comparison(files, names)]
    note = "Both models on the same held-out rows. The bar is the 95 % interval of the difference, drawn from the base."
    parts.append(paragraph(note, class_="note"))
    most = number(files.evaluation, "majority")
    if most is not None:
        parts.append(
            paragraph(
                f"Always saying the most frequent label would be right in {share(most)} of the rows.", class_="note"
            )
        )
    always = files.evaluation.get("mean_baseline")
    if (error := number(always, "mae")) is not None:
        said = f"Always saying the mean of these rows would be off by {metric('mae').value(error)} on average."
        parts.append(paragraph(said, class_="note"))
    return joined(parts)


def _names(files: RunFiles) -> list[str]:
    before = files.evaluation.get("before")
    return [name for name in before if values(files, name)] if isinstance(before, dict) else []


def comparison(files: RunFiles, names: Sequence[str]) -> Html:
    """-> the table of some metrics, each with its interval drawn."""
    rows = [_compared(files, name) for name in names]
    return table(["Metric", "Base", "Tuned", "Difference", "", "Verdict"], rows, numbers=(1, 2, 3), kind="compared")


def _compared(files: RunFiles, name: str) -> Sequence[object]:
    before, after = values(files, name) or (0.0, 0.0)
    how, words = metric(name), verdict(files, name)
    differences = files.evaluation.get("difference")
    given = differences.get(name) if isinstance(differences, dict) else None
    mean, low, high, p = (number(given, key) for key in ("mean", "low", "high", "p"))
    label = joined([how.label, element("small", how.meaning)])
    if mean is None or low is None or high is None:
        return [
            label,
            how.value(before, after),
            how.value(after, before),
            how.change(after - before, before),
            "",
            _judged(words),
        ]
    scale = max(before, after)
    tested = f"{how.change(low, scale, unit=False)} to {how.change(high, scale, unit=False)}"
    change = joined(
        [how.change(mean, scale), element("small", tested), element("small", probability(p)) if p is not None else ""]
    )
    drawn = _drawn(name, (before, after), (before + low, before + high))
    return [label, how.value(before, after), element("b", how.value(after, before)), change, drawn, _judged(words)]


def _drawn(name: str, values: tuple[float, float], may: tuple[float, float]) -> Html:
    """The change on its scale from zero; where it would be too small to see, on a part of the scale that says so."""
    how, (before, after) = metric(name), values
    ends = (0.0, how.top or _round_up(max(before, after, may[1])))
    marks = ("0", f"{100 * ends[1]:g} %" if how.percent else f"{ends[1]:g}")
    seen = min(before, after, may[0]), max(before, after, may[1])
    if 0 < seen[1] - seen[0] < _SMALL * ends[1]:
        room = 0.6 * (seen[1] - seen[0])
        ends = (max(0.0, seen[0] - room), min(ends[1], seen[1] + room))
        marks = (how.value(ends[0], ends[1]), how.value(ends[1]))
    chart = interval_chart(before, after, may, ends, f"{how.label}: {how.value(before)} to {how.value(after)}")
    return joined([Html(chart), element("div", *(element("span", mark) for mark in marks), class_="scale")])


def _round_up(value: float) -> float:
    """-> a round number that is not much larger: the end of a scale."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return next(
        m * power for m in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if value <= m * power * (1 + 1e-9)
    )


def _judged(words: str) -> Html:
    """The verdict with a sign, so that colour is not needed to read it."""
    kind, _, rest = words.partition(" (")
    more = element("small", rest.rstrip(")")) if rest else ""
    return element(
        "span", f"{_SIGNS.get(kind, '')} {kind}".strip(), more, class_=f"verdict {kind if kind in _SIGNS else 'same'}"
    )


def confusions(files: RunFiles) -> Html | None:
    """-> the tables of the base and the tuned model side by side, or None when nothing was classified."""
    found = files.evaluation.get("confusion")
    if not isinstance(found, dict) or not isinstance(found.get("labels"), list):
        return None
    labels = [str(label) for label in found["labels"]]
    both = [
        element("div", element("h3", title), _confusion(labels, found[side]), class_="half")
        for side, title in (("before", "Base"), ("after", "Tuned"))
        if _is_table(found.get(side), len(labels))
    ]
    note = (
        "A row is a true label, a column what the model said; the stronger the colour, the larger the share of the row."
    )
    return joined([element("div", *both, class_="halves"), paragraph(note, class_="note")]) if both else None


def _is_table(value: Any, count: int) -> bool:
    def is_row(row: Any) -> bool:
        return isinstance(row, list) and count <= len(row) <= count + 1 and all(isinstance(n, int) for n in row)

    return isinstance(value, list) and len(value) == count > 0 and all(map(is_row, value))


def _confusion(labels: Sequence[str], counts: list[list[int]]) -> Html:
    columns = [*labels, "none of them"][: len(counts[0])]
    head = element("tr", element("td"), *(element("th", label, scope="col", class_="number") for label in columns))
    lines = []
    for i, row in enumerate(counts):
        whole = max(1, sum(row))
        cells = (
            element(
                "td",
                f"{n:,}",
                class_="number cell" + (" right" if i == j else ""),
                style=f"--share:{100 * n / whole:.0f}%",
            )
            for j, n in enumerate(row)
        )
        lines.append(element("tr", element("th", labels[i], scope="row"), *cells))
    inner = element("table", element("thead", head), element("tbody", *lines), class_="confusion")
    return element("div", inner, class_="wide")


def answers(files: RunFiles) -> Html:
    if not files.examples:
        return missing(files, "examples.json", "No answers were written to look at")
    cards = [_card(example) for example in files.examples[:_SHOWN]]
    rest = len(files.examples) - len(cards)
    if rest > 0:
        cards.append(paragraph(f"{rest} more in examples.json.", class_="note"))
    return joined(cards)


def _card(example: Line) -> Html:
    reference = str(example.get("reference") or "")
    sides = [
        ("Reference", reference, ""),
        *(
            (title, str(example.get(key) or ""), _mark(str(example.get(key) or ""), reference))
            for key, title in (("base", "Base"), ("tuned", "Tuned"))
        ),
    ]
    columns = [
        element(
            "div",
            element("h4", title, element("span", mark, class_="mark") if mark else ""),
            _passage(said),
            class_="said",
        )
        for title, said, mark in sides
    ]
    return element(
        "article",
        element("h3", f"Row {example.get('row', '?')}"),
        element("div", _passage(str(example.get("prompt") or "")), class_="prompt"),
        element("div", *columns, class_="answers"),
        class_="card",
    )


def _mark(said: str, reference: str) -> str:
    return " = reference" if reference and said.split() == reference.split() else ""


def _passage(text: str) -> Html:
    if not text.strip():
        return paragraph("(empty)", class_="absent")
    cut = len(text) - _LONG
    more = element("span", f" \u2026 {cut:,} more characters", class_="absent") if cut > 0 else ""
    return paragraph(text[:_LONG].strip(), more, class_="passage")


def forgetting(files: RunFiles) -> Html:
    names = [n for n in in_order(_names(files)) if n.startswith("general_")]
    if not names:
        return paragraph("Not measured: no general text was read before and after.", class_="absent")
    about = (
        "Both models read the same text that has nothing to do with the task. A rise of its perplexity is a first sign "
        "of forgetting; it says nothing about skills that such text does not need, such as following instructions."
    )
    return joined([comparison(files, names), paragraph(about, class_="note")])
