"""Answers that teach nothing good: none at all, a refusal, one sentence for everything, a form never filled in."""

import re
from collections import defaultdict

from tunesmith.doctor.case import Case
from tunesmith.doctor.entries import Entry
from tunesmith.doctor.finding import Finding, by_file

_REFUSED = re.compile(
    r"\W*(?:(?:i'?m|i\u2019m|i am|we are|we're) (?:very |so |really |truly )?(?:sorry|afraid)\b"
    r".{0,40}\b(?:can'?t|can\u2019t|cannot|unable|not able|"
    r"won'?t|not allowed|don'?t)|"
    r"(?:sorry|apologies|unfortunately|regrettably)\b.{0,20}\b(?:i|we) "
    r"(?:can'?t|can\u2019t|cannot|am unable|am not able|won'?t|must decline)|"
    r"i (?:can'?t|can\u2019t|cannot|won'?t|am unable to|am not able to|must decline|will not) "
    r"(?:help|assist|answer|provide|fulfil|fulfill|comply|do that|do this|discuss|"
    r"support|create|generate|write|give|engage)|"
    r"as an? (?:ai|artificial intelligence|(?:large )?language model|assistant)\b|"
    r"(?:es tut mir leid|tut mir leid|entschuldigung)\b.{0,30}\bkann\b.{0,40}\bnicht|"
    r"ich kann (?:dir|ihnen) (?:dabei|damit) nicht|"
    r"(?:je suis désolée?|désolée?)\b.{0,40}\bne (?:peux|puis) pas|"
    r"lo siento\b.{0,30}\bno puedo|mi dispiace\b.{0,30}\bnon posso)",
    re.IGNORECASE,
)
_UNFILLED = re.compile(
    r"\{\{?\s*[a-zA-Z_][\w .]{0,30}\}\}?|\[(?:insert|your|name|todo|tbd|placeholder|company|date)\b[^\]]{0,40}\]|"
    r"<(?:insert|your)[ _-][^>]{0,40}>|\blorem ipsum\b|\bTODO\b|\bTBD\b|"
    r"^\W*(?:n/?a|none|null|nil|nan|undefined|test|asdf+|xxx+|\.+|-+)\W*$",
    re.IGNORECASE,
)
_CODE = re.compile(r"```|\bdef \w+\(|\bfunction\b|\bclass \w+|[;{]\s*$|f\"|\$\{|=>|</\w+>", re.MULTILINE)
_WORDS = 5  # a shorter answer may well be the right one to many questions
_OFTEN, _SHARE = 5, 0.01
_BEGINNING = 200


def empty_answers(case: Case) -> list[Finding]:
    found = []
    for blank, kind in (("answer", "empty_answer"), ("prompt", "empty_prompt")):
        rows = [(entry.row, str(entry.row.values)) for entry in case.entries if entry.blank == blank]
        found += by_file(kind, rows, f"the {blank} is empty: a run refuses such a row")
    return found


def refused_answers(case: Case) -> list[Finding]:
    rows = [(entry.row, entry.answer) for entry in _free(case) if _REFUSED.match(entry.answer[:_BEGINNING])]
    return by_file("refused_answer", rows, "the answer refuses: the model would learn to")


def templated_answers(case: Case) -> list[Finding]:
    """One answer to many different prompts, and answers with a placeholder left in."""
    same: dict[str, list[Entry]] = defaultdict(list)
    unfilled = []
    for entry in _free(case):
        if _UNFILLED.search(entry.answer) and not _CODE.search(entry.answer):
            unfilled.append(entry)
        elif len(entry.answer.split()) >= _WORDS and entry.prompt:
            same[" ".join(entry.answer.casefold().split())].append(entry)
    least = max(_OFTEN, _SHARE * len(case.whole))
    often = [entry for entries in same.values() for entry in entries if len({e.prompt for e in entries}) >= least]
    often.sort(key=lambda entry: (entry.row.file, entry.row.number))
    return [
        *by_file("templated_answer", [(e.row, e.answer) for e in often], "the same answer stands under many prompts"),
        *by_file("unfilled_answer", [(e.row, e.answer) for e in unfilled], "a placeholder was never filled in"),
    ]


def _free(case: Case) -> list[Entry]:
    """Entries with an answer in free words."""
    return [entry for entry in case.whole if entry.answer and entry.label is None]
