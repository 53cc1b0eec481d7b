"""The smaller tables of a comparison's page: each method against each, the data that they need, the rates tried."""

from tunesmith.report.comparison import Against, Details, Row
from tunesmith.report.comparison_cells import ends, value
from tunesmith.report.document import Chosen
from tunesmith.report.markup import Html, element, joined, paragraph, table
from tunesmith.report.numbers import count, metric, share


def each(rows: list[Row], details: Details) -> Html:
    """The method of the line less that of the column."""
    how = metric(details.base_quality.metric)
    names = [row.method for row in rows]
    lines = []
    for name in names:
        found = details.quality_between.get(name, {})
        cells_ = (
            element("span", how.change(found[other].mean, unit=False), class_=_verdict(found[other]))
            if other in found
            else ""
            for other in names
        )
        lines.append([name, *cells_])
    unit = " in points" if how.percent else ""
    pairs_ = count(len(names) * (len(names) - 1) / 2)
    note = (
        f"{how.label} of the method on the left less that of the method above{unit}. In colour: the 95 % interval of "
        f"the difference leaves zero out. Of pairs that are equal in truth, one in twenty is coloured by luck; there "
        f"are {pairs_} pairs."
    )
    return joined([table(["", *names], lines, numbers=range(1, len(names) + 1)), paragraph(note, class_="note")])


def _verdict(found: Against) -> str | None:
    kind = found.verdict.partition(" (")[0]
    return kind if kind in ("better", "worse") else "same"


def data_needed(rows: list[Row]) -> Html | None:
    known = [row for row in rows if row.data_needed]
    if not known:
        return None
    head = ["Method", *(f"{share(one.share)}, {count(one.rows)} rows" for one in known[0].data_needed or [])]
    lines = [
        [
            row.method,
            *(
                joined([value(one.quality), element("small", ends(one.quality))]) if one.quality else "failed"
                for one in row.data_needed or []
            ),
        ]
        for row in known
    ]
    note = "The same number of steps on fewer training rows, one seed; the weights of the best validation are kept."
    return joined([table(head, lines, numbers=range(1, len(head))), paragraph(note, class_="note")])


def learning_rates(details: Details) -> Html | None:
    """A line for each method: what each rate gave, from the smallest to the largest."""
    if not details.rates:
        return None
    known = {name: choice for name, choice in details.rates.items() if choice.tried}
    parts: list[Html] = []
    if known:
        columns = max(len(choice.tried or []) for choice in known.values())
        lines = [[name, *_tried(choice), *[""] * (columns - len(choice.tried or []))] for name, choice in known.items()]
        about = next(iter(known.values())).reason.rpartition("; ")[2]
        note = (
            f"Validation loss after a trial, below it the learning rate: {about}. Of the rates that gain as much as "
            "the best, to 2 %, the smallest is chosen. So short a trial favours rates that are quick."
        )
        head = ["Method", "Before", "Tried", *[""] * (columns - 2)]
        parts = [table(head, lines, range(1, columns + 1), "tried"), paragraph(note, class_="note")]
    given = [(name, f"{c.value:g}", c.reason) for name, c in details.rates.items() if not c.tried]
    return joined([*parts, table(["Method", "Learning rate", "Why"], given, kind="chosen") if given else ""])


def _tried(choice: Chosen) -> list[Html]:
    found = []
    for one in choice.tried or []:
        loss = "not a number" if one.loss is None else f"{one.loss:.3f}"
        chosen = one.what == choice.value
        below = "" if one.what == 0 else element("small", f"{one.what:g}" + (", chosen" if chosen else ""))
        found.append(joined([element("b", loss) if chosen else loss, below]))
    return found
