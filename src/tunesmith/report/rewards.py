"""The parts of the report about rewards: what judged the answers, and answers to the same prompts over time."""

from typing import Any

from tunesmith.report.answer import number
from tunesmith.report.folder import RunFiles
from tunesmith.report.markup import Html, element, joined, pairs, paragraph, table

MOST_PROMPTS, MOST_TIMES = 4, 8
_LONGEST = 400  # characters of an answer


def samples(files: RunFiles) -> Html | None:
    """-> for each of a few prompts what was answered as training went on; None when no answers were sampled."""
    if not files.samples:
        return None
    steps = _spread(sorted({int(line["step"]) for line in files.samples if "step" in line}))
    rows = list(dict.fromkeys(line.get("row") for line in files.samples))[:MOST_PROMPTS]
    note = "The likeliest answers to the same prompts of the validation part."
    parts: list[object] = [paragraph(note, class_="note")]
    for row in rows:
        lines = [line for line in files.samples if line.get("row") == row and line.get("step") in steps]
        parts.append(element("p", _short(lines[0].get("prompt") if lines else ""), class_="prompt"))
        parts.append(table(("Step", "Answer", "Reward"), [_line(line) for line in lines]))
    return joined(parts)


def _spread(steps: list[int]) -> set[int]:
    """-> at most `MOST_TIMES` of them, the first and the last among them."""
    most = min(MOST_TIMES, len(steps))
    return {steps[round(i * (len(steps) - 1) / max(1, most - 1))] for i in range(most)}


def _line(line: dict[str, Any]) -> list[object]:
    worth = number(line, "reward")
    return [line.get("step", ""), _short(line.get("answer")), "" if worth is None else f"{worth:.3g}"]


def _short(text: Any) -> str:
    text = str(text or "")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"


def judges(files: RunFiles) -> Html | None:
    """-> the terms of the reward; files of the user with their hashes."""
    terms = files.data.get("reward")
    if not isinstance(terms, list):
        return None
    rows: list[tuple[object, object]] = []
    for term in terms:
        if isinstance(term, dict):
            known = term.get("sha256")
            file = joined([f", file {term.get('file')}, ", element("code", f"sha256 {known}")]) if known else Html("")
            rows.append((str(term.get("name")), joined([f"weight {term.get('weight')}", file])))
    return pairs(rows)
