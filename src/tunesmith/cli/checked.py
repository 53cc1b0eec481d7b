"""What `tunesmith check` found, as JSON, as lines, and as what the page shows."""

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

    from tunesmith.core.answers import Answers
    from tunesmith.core.batch import Example
    from tunesmith.doctor.case import Case
    from tunesmith.doctor.finding import Finding
    from tunesmith.opening import Source


@dataclass(frozen=True)
class Checked:
    """`source` is None where the rows were not read as tokens."""

    case: "Case"
    found: "list[Finding]"
    source: "Source | None"
    said: list[str]

    def document(self, curve: bool) -> dict[str, Any]:
        """-> what --json prints."""
        from tunesmith.doctor.curve import learning_curve
        from tunesmith.doctor.facts import facts

        known: dict[str, Any] = {"rows_read": len(self.case.entries) + sum(map(len, self.case.own.values()))}
        known |= facts(self.case)
        if self.source is not None:
            prepared = self.source.prepared
            known |= prepared.facts | {"said": prepared.said, "lengths": lengths(prepared.train)}
            known["rows_read"] = len(self.case.entries) + sum(map(len, self.case.own.values()))
        if curve:
            known["curve"] = learning_curve(self.case)
        return {"rows": known["rows_read"], "findings": [one.values() for one in self.found], "facts": known}

    def titled(self, document: dict[str, Any]) -> dict[str, Any]:
        """-> the same with what a page needs beside it: titles, advice, example rows."""
        from tunesmith.doctor.table import KINDS

        shown = [
            one.values()
            | {"title": KINDS[one.kind].title, "advice": KINDS[one.kind].advice}
            | {"examples": [(e.row, e.text, e.note) for e in one.examples]}
            for one in self.found
        ]
        return document | {"findings": shown, "files": list(self.case.config.sources)}

    def printed(self, document: dict[str, Any], rows: int) -> None:
        from tunesmith.cli.findings import lines

        print("\n".join([*self.said, *(self.source.prepared.said if self.source else ())]))
        print("\n".join(_facts(document["facts"], self.case.config.sources, len(self.case.entries))))
        if self.source is not None:
            _print_parts(self.source)
        print()
        print("\n".join(lines(self.found)) or "nothing doubtful was found")
        if self.source is not None and rows:
            _print_rows(self.source, rows)


def _facts(facts: dict[str, Any], sources: tuple[str, ...], rows: int) -> list[str]:
    words, shown = facts["words"], []
    if words:
        shown.append(
            f"{', '.join(sources)}: {rows} rows of {words['shortest']:g} to {words['longest']:g} words "
            f"(median {words['median']:g}, nine in ten up to {words['p90']:g})"
        )
    if facts["turns"]:
        some = [f"{turns} turns {count}" for turns, count in facts["turns"].items()]
        shown.append(f"conversations: {', '.join(some[:6])}; roles: {_counts(facts['roles'])}")
    shown.append(f"languages: {_counts(facts['languages'])}")
    if facts["labels_of_all"]:
        shown.append(f"labels: {_counts(facts['labels_of_all'])}")
    alike = [f"{name.replace('_', ' ')} {value:.0%}" for name, value in facts["diversity"].items()]
    if alike:
        shown.append(f"diversity: {', '.join(alike)}")
    shown.append(f"toxicity: {facts['toxicity']}")
    if "curve" in facts:
        shown.append(f"data needed: {facts['curve']['said']}")
    return shown


def _counts(counts: dict[str, int]) -> str:
    some = [f"{name} {count}" for name, count in list(counts.items())[:8]]
    return ", ".join(some) + (f" and {len(counts) - 8} more" if len(counts) > 8 else "")


def lengths(examples: list["Example"]) -> dict[str, Any]:
    """-> of training examples, in tokens."""
    lengths = sorted(map(len, examples))
    ninety = lengths[min(len(lengths) - 1, int(0.9 * len(lengths)))]
    return {"shortest": lengths[0], "median": median(lengths), "p90": ninety, "longest": lengths[-1]}


def _print_parts(source: "Source") -> None:
    from tunesmith.report.numbers import count

    facts, sizes_ = source.prepared.facts, lengths(source.prepared.train)
    head = ("part", "rows", "examples", "tokens", "trained", *facts["labels"])
    lines = [head]
    for part, sizes in facts["parts"].items():
        numbers = [sizes[key] for key in ("rows", "examples", "tokens", "trained_tokens")]
        numbers += [sizes["labels"].get(label, 0) for label in facts["labels"]]
        lines.append((part, *map(count, numbers)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print()
    for name, *cells in lines:
        print("  ".join([name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))]))
    print("\ntokens in a training example: " + ", ".join(f"{key} {value:g}" for key, value in sizes_.items()))


def _print_rows(source: "Source", rows: int) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    drawn = console.is_terminal and not console.no_color
    console.print()
    console.print(_shown("trained", True, drawn), "is learned,", _shown("context", False, drawn), "is only read")
    for example in source.prepared.train[:rows]:
        for name, part in _parts(example):
            console.print(f"\nrow {example.row}{name}: {len(part)} tokens, {part.trained_tokens} of them trained")
            console.print(_coloured(part, source, drawn), soft_wrap=True)


def _parts(example: "Example") -> list[tuple[str, "Example"]]:
    """-> the answers of a row that has several, each with its name, or the row itself."""
    from tunesmith.core.answers import Answers

    if not isinstance(example, Answers):
        return [("", example)]
    names = [f", answer {place}{_worth(example, place - 1)}" for place in range(1, example.count + 1)]
    return list(zip(names, example.paths, strict=True))


def _worth(tree: "Answers", place: int) -> str:
    if tree.wanted:
        return " (wanted)" if tree.wanted[place] else " (unwanted)"
    wins, losses = (sum(pair[side] == place for pair in tree.better) for side in (0, 1))
    return " (the better one)" if not losses else " (the worse one)" if not wins else ""


def _coloured(example: "Example", source: "Source", drawn: bool) -> "Text":
    from rich.text import Text

    from tunesmith.data.show import spans

    return Text().join(_shown(text, trained, drawn) for text, trained in spans(example, source.tokenizer))


def _shown(text: str, trained: bool, drawn: bool) -> "Text":
    """Green or dim on a terminal; in brackets or not elsewhere."""
    from rich.text import Text

    if not drawn:
        return Text(f"⟦{text}⟧" if trained else text)
    return Text(text, style="bold green" if trained else "dim")
