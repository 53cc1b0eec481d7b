"""The page of `tunesmith check --report`: what the rows are, and each finding with rows to look at."""

from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.files import write_text
from tunesmith.report.html import document
from tunesmith.report.markup import Html, element, joined, pairs, paragraph, table
from tunesmith.report.numbers import count, share

_BARS = 12


def write_checkup(path: Path, checked: dict[str, Any]) -> None:
    """Write the page. `checked`: what --json prints, with `title`, `advice` and `examples` in each finding."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report: {path} must end in .html")
    write_text(path, page(checked))


def page(checked: dict[str, Any]) -> str:
    """-> the whole document."""
    facts, findings = checked["facts"], checked["findings"]
    title = f"What is in {', '.join(Path(name).name for name in checked['files'])}"
    parts = {
        "Findings": _overview(findings) if findings else paragraph("Nothing doubtful was found."),
        **{f"{one['title']}{_against(one)}": _finding(one) for one in findings},
        "Lengths": _lengths(facts),
        "Labels": _bars(facts["labels_of_all"]) if facts["labels_of_all"] else None,
        "Languages": _bars(facts["languages"]) if facts["languages"] else None,
        "Turns and roles": _turns(facts) if facts["turns"] else None,
        "Diversity": _diversity(facts),
        "Data needed": _curve(facts["curve"]) if "curve" in facts else None,
    }
    sections = [element("section", element("h2", name), part) for name, part in parts.items() if part is not None]
    footer = element("footer", "Written by tunesmith check. Values of people and keys are masked.")
    return document(title, [_header(checked, title), *sections, footer])


def _header(checked: dict[str, Any], title: str) -> Html:
    facts, findings = checked["facts"], checked["findings"]
    rows = len({(one["file"], row) for one in findings for row in one["rows"]})
    main = next(iter(facts["languages"]), "unknown")
    tiles = [("Rows", count(checked["rows"]), "all files together")]
    tiles.append(("Rows to look at", count(rows), f"{share(rows / max(1, checked['rows']))} of all"))
    if facts["words"]:
        tiles.append(
            (
                "Words in a row",
                f"{facts['words']['median']:g}",
                f"median; the longest {count(facts['words']['longest'])}",
            )
        )
    tiles.append(
        (
            "Language",
            main,
            f"{share(facts['languages'].get(main, 0) / max(1, sum(facts['languages'].values())))} of rows",
        )
    )
    figures = (
        element("div", element("dt", label), element("dd", shown, element("small", note)))
        for label, shown, note in tiles
    )
    answer = (
        f"{len(findings)} kinds of findings, the most important first." if findings else "Nothing doubtful was found."
    )
    return element(
        "header",
        element("p", "tunesmith check", class_="kind"),
        element("h1", title),
        element("p", answer, class_="answer"),
        element("dl", *figures, class_="figures"),
    )


def _against(one: dict[str, Any]) -> str:
    return f": {one['against']}" if "against" in one else ""


def _overview(findings: list[dict[str, Any]]) -> Html:
    lines = [(one["title"] + _against(one), count(one["count"]), one["message"]) for one in findings]
    return table(("", "Rows", "What it is"), lines, numbers=(1,))


def _finding(one: dict[str, Any]) -> Html:
    first = ", ".join(map(str, one["rows"][:12])) + (" and more" if len(one["rows"]) > 12 else "")
    where = f"{one['file']}: row {first}." if one["rows"] else f"{one['file']}."
    shown = (
        table(("Row", "", "Text"), [(row, note, text) for row, text, note in one["examples"]])
        if one["examples"]
        else ""
    )
    return joined([paragraph(f"{one['message'][:1].upper()}{one['message'][1:]}. {one['advice']}"), shown,
                   paragraph(where, class_="note")])  # fmt: skip


def _lengths(facts: dict[str, Any]) -> Html:
    names = {
        "words": "Words in a row",
        "prompt_characters": "Characters in a prompt",
        "answer_characters": "Characters in an answer",
        "lengths": "Tokens in a training example",
    }
    lines = [
        (title, *(count(facts[key][which]) for which in ("shortest", "median", "p90", "longest")))
        for key, title in names.items()
        if facts.get(key)
    ]
    return table(("", "Shortest", "Median", "90 % up to", "Longest"), lines, numbers=(1, 2, 3, 4))


def _bars(counts: dict[str, int]) -> Html:
    """How often each value stands, drawn to scale."""
    most, whole = max(counts.values()), sum(counts.values())
    lines = [
        (name, count(number), share(number / whole), _bar(number / most))
        for name, number in list(counts.items())[:_BARS]
    ]
    more = paragraph(f"And {len(counts) - _BARS} more.", class_="note") if len(counts) > _BARS else ""
    return joined([table(("", "Rows", "Share", ""), lines, numbers=(1, 2)), more])


def _bar(part: float) -> Html:
    width = f"{max(1.0, 260 * part):.0f}"
    inner = element("rect", width=width, height="11", rx="2", fill="var(--tuned)")
    return element("svg", inner, width="260", height="11", role="img", aria_label=f"{part:.0%} of the most frequent")


def _turns(facts: dict[str, Any]) -> Html:
    return joined(
        [_bars({f"{turns} turns": number for turns, number in facts["turns"].items()}), _bars(facts["roles"])]
    )


def _diversity(facts: dict[str, Any]) -> Html:
    names = {
        "distinct_words": "Different words among all words",
        "distinct_pairs": "Different pairs of words among all pairs",
        "distinct_prompts": "Different prompts among all prompts",
        "distinct_beginnings": "Different first three words among all answers",
    }
    lines = [(names[key], share(value)) for key, value in facts["diversity"].items()]
    return joined([pairs([*lines, ("Toxicity", facts["toxicity"])])])


def _curve(curve: dict[str, Any]) -> Html:
    lines = [(count(point["rows"]), share(point["accuracy"])) for point in curve["points"]]
    said = f"{curve['said'][:1].upper()}{curve['said'][1:]}."
    return joined([paragraph(said), table(("Training rows", "Accuracy of a plain classifier"), lines, numbers=(1,))])
