"""`sweep.html`: the best recipe, the trials as lines across their settings, what mattered, and the test rows."""

import shlex
from pathlib import Path

from tunesmith.core.files import write_text
from tunesmith.report.evidence import comparison
from tunesmith.report.folder import RunFiles
from tunesmith.report.html import document, unbroken
from tunesmith.report.markup import Html, element, joined, listing, pairs, paragraph, shown, table
from tunesmith.report.numbers import count, duration, in_order
from tunesmith.report.parallel import Line, Upright, bars, parallel
from tunesmith.report.sweep import Axis, Plain, Sweep, SweepTrial

NAME = "sweep.html"
GOOD = 0.25  # of the finished trials: those that are drawn as good


def write_page(folder: Path, found: Sweep) -> Path:
    path = folder / NAME
    write_text(path, page(found, folder))
    return path


def page(found: Sweep, folder: Path) -> str:
    """-> the whole document. `folder` is named in the commands."""
    parts = {
        "The best recipe": _best(found, folder),
        "On the test rows": _tested(found),
        "Every trial": _lines(found),
        "What mattered": _importance(found),
        "The trials": _table(found),
        "How it was searched": _how(found),
        "What was said": element("ul", *(element("li", one) for one in found.notes)) if found.notes else None,
    }
    sections = [element("section", element("h2", name), part) for name, part in parts.items() if part is not None]
    title = f"Settings for {Path(found.base).name or found.base}"
    footer = element("footer", "Written by tunesmith from the trials beside this page.")
    return document(title, [_header(found, title, folder), *sections, footer], kind="comparison")


def values(trial: SweepTrial) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in trial.values.items())


def _short(value: Plain) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def sentence(found: Sweep) -> str:
    """-> the answer in one breath."""
    ended = [trial.ending for trial in found.trials]
    counts = ", ".join(f"{ended.count(one)} {one}" for one in ("finished", "pruned", "failed") if one in ended)
    many = "one trial" if len(ended) == 1 else f"{len(ended)} trials"
    named = ", ".join(f"{key} = {_short(value)}" for key, value in found.best.values.items())
    return f"Best of {many} ({counts}): {named}, with a validation {found.metric} of {found.best.result:.4g}."


def _header(found: Sweep, title: str, folder: Path) -> Html:
    first = next((t for t in found.trials if t.result is not None), None)
    tiles = [
        (
            f"Validation {found.metric}",
            f"{found.best.result:.4g}",
            "best" + (f", first trial {first.result:.4g}" if first else ""),
        ),
        ("Trials", count(len(found.trials)), f"{len(found.finished)} to their end"),
        ("Time", duration(found.seconds), "of all trials"),
    ]
    figures = (
        element("div", element("dt", label), element("dd", value, element("small", unbroken(note))))
        for label, value, note in tiles
    )
    return element(
        "header",
        element("p", f"tunesmith sweep {folder.resolve().name}", class_="kind"),
        element("h1", title),
        element("p", unbroken(sentence(found)), class_="answer"),
        element("dl", *figures, class_="figures"),
    )


def _best(found: Sweep, folder: Path) -> Html:
    recipe, run = (shlex.quote(str(folder / place)) for place in (found.best.recipe, found.best.run))
    return listing(
        f"tunesmith chat {run}      # the winner as it was trained\n"
        f"tunesmith train {recipe} output=runs/best      # the same once more, with its evidence"
    )


def _tested(found: Sweep) -> Html | None:
    if found.evaluation is None:
        return None
    files = RunFiles("", evaluation=found.evaluation.model_dump())
    names = list(in_order(found.evaluation.before))
    note = (
        "The base and the winner on rows that no trial was judged on. The validation number above was the best of "
        "many, and is rosier than the truth; this one is not."
    )
    if found.tested > 1:
        note += f" But {found.tested} winners have been measured here by now: choosing among them makes it rosier too."
    return joined([comparison(files, names), paragraph(note, class_="note")])


def _lines(found: Sweep) -> Html | None:
    if not found.finished:
        return None
    results = [trial.result for trial in found.finished if trial.result is not None]
    last = Upright(f"validation {found.metric}", min(results), max(results), turned=not found.higher_is_better)
    axes = [*(_upright(axis) for axis in found.axes), last]
    good = {trial.number for trial in found.finished[: max(1, round(GOOD * len(results)))]}
    lines = [_line(found, trial, good) for trial in found.trials if trial.ending != "failed"]
    keys = [
        element("span", "best", class_="key key-best"),
        element("span", "best quarter", class_="key key-good"),
        element("span", "others", class_="key key-tried"),
        element("span", "pruned", class_="key key-lost"),
    ]
    note = "Each line is a trial, from its settings to what it gave: further up is better on the last axis."
    chart = element("figure", element("div", *keys, class_="keys"), Html(parallel(axes, lines)))
    return joined([chart, paragraph(note, class_="note")])


def _upright(axis: Axis) -> Upright:
    if axis.choices is not None:
        return Upright(axis.key, choices=tuple(map(str, axis.choices)))
    assert axis.low is not None and axis.high is not None, "a range has ends"
    return Upright(axis.key, axis.low, axis.high, axis.log)


def _line(found: Sweep, trial: SweepTrial, good: set[int]) -> Line:
    kind = "best" if trial.number == found.best.trial else "good" if trial.number in good else "tried"
    said = f"trial {trial.number}: {values(trial)}"
    settings = tuple(trial.values[axis.key] for axis in found.axes)
    if trial.result is None:
        return Line(f"{said}, pruned", (*settings, None), "lost")
    return Line(f"{said}, {found.metric} {trial.result:.4g}", (*settings, trial.result), kind)


def _importance(found: Sweep) -> Html:
    if found.importance is None:
        return paragraph("Too few trials, or one key alone: nothing can be said about what mattered.", class_="absent")
    note = (
        f"The share of each key in what sets the good trials apart (PED-ANOVA), from {len(found.finished)} trials that "
        "came to their end. With so few it is a hint: a key that is searched over a wider range seems to matter more."
    )
    return joined([element("figure", Html(bars(found.importance))), paragraph(note, class_="note")])


def _table(found: Sweep) -> Html:
    rest = [trial for trial in found.trials if trial.result is None]
    lines = [
        [
            joined([trial.number, element("span", "best", class_="pick") if trial.number == found.best.trial else ""]),
            *(_short(trial.values[axis.key]) for axis in found.axes),
            "\u2013" if trial.result is None else f"{trial.result:.4g}",
            joined([trial.ending, element("small", trial.why) if trial.why else ""]),
            duration(trial.seconds),
        ]
        for trial in [*found.finished, *rest]
    ]
    head = ["Trial", *(axis.key for axis in found.axes), f"Validation {found.metric}", "", "Time"]
    return table(head, lines, numbers=range(1, len(found.axes) + 2))


def _how(found: Sweep) -> Html:
    better = "the higher the better" if found.higher_is_better else "the lower the better"
    return pairs(
        [
            ("Searched", joined(element("span", axis.space, class_="setting") for axis in found.axes)),
            ("Data", found.data),
            ("Method and objective", f"{found.method}, {found.objective}"),
            ("Judged by", f"{found.metric} on the validation rows, {better}, of the weights that were kept"),
            ("Proposed by", "Optuna: some at random, then by what the others gave (TPE)"),
            ("Pruned", "trials that at a validation were worse than the median of the others there"),
            ("Test rows", "not looked at by any trial"),
        ]
    )
