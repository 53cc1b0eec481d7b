"""Every kind of finding, the most important first, what finds it, and what `--fix` does about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tunesmith.doctor.answers import empty_answers, refused_answers, templated_answers
from tunesmith.doctor.balance import imbalance, other_languages
from tunesmith.doctor.beside import begun, worth_it
from tunesmith.doctor.case import Case
from tunesmith.doctor.contamination import contamination
from tunesmith.doctor.doubles import conflicting_answers, exact_duplicates, near_duplicates
from tunesmith.doctor.exposed import exposed
from tunesmith.doctor.finding import Finder, Finding
from tunesmith.doctor.labels import label_errors
from tunesmith.doctor.outliers import outliers
from tunesmith.doctor.toxicity import toxic

Mending = Literal["drop", "redact", "look"]


@dataclass(frozen=True, slots=True)
class Kind:
    """`mending`: what --fix does of itself; rows of a kind to look at are dropped only when that is asked for."""

    title: str
    mending: Mending
    advice: str


KINDS: dict[str, Kind] = {
    "contamination": Kind(
        "Held-out text in training rows", "drop", "Drop these rows, or the result will look better than it is."
    ),
    "overlap": Kind("Test rows in training", "look", "Take these rows out of one of the files."),
    "secret": Kind("Keys and passwords", "redact", "Revoke them: a file that was passed on is known."),
    "personal_data": Kind(
        "Personal data", "redact", "Replace by pseudonyms, unless the people agreed and it is needed."
    ),
    "conflicting_answers": Kind("Conflicting answers", "look", "Decide which answer is right, and keep one."),
    "label_error": Kind("Likely label errors", "look", "Read them: about the first ones the classifier is surest."),
    "empty_answer": Kind("Empty answers", "drop", "Fill in or drop."),
    "empty_prompt": Kind("Empty prompts", "drop", "Fill in or drop."),
    "too_long": Kind("Too long", "look", "Raise data.max_length, or choose drop or truncate as data.too_long."),
    "truncated": Kind("Cut to the length", "look", "Raise data.max_length, or shorten the rows."),
    "equal_answers": Kind("Answers that do not differ", "look", "Nothing can be compared there."),
    "swapped_answers": Kind("Scores against the order", "look", "Chosen and rejected may be swapped."),
    "exact_duplicate": Kind("Exact duplicates", "drop", "They weigh more than other rows, and are learned by heart."),
    "near_overlap": Kind("Nearly test rows in training", "look", "Take these rows out of one of the files."),
    "near_duplicate": Kind("Near-duplicates", "drop", "Keep one of each, unless small differences are the task."),
    "split_overlap": Kind(
        "Held-out text across the split", "look", "Give own test rows, or put rows of one source into one part."
    ),
    "refused_answer": Kind("Refusals", "look", "Keep those that should be refused."),
    "toxic": Kind("Toxic rows", "look", "Read them."),
    "templated_answer": Kind("One answer to many prompts", "look", "Keep few, or the model answers so to everything."),
    "unfilled_answer": Kind("Placeholders left in", "look", "Fill in or drop."),
    "imbalance": Kind("Imbalance", "look", "Collect more of the rare labels; --balance makes all as rare."),
    "other_language": Kind("Other languages", "look", "Keep them if the model should answer in them."),
    "repetitive": Kind("Repetition", "look", "Shorten or drop."),
    "broken_text": Kind("Broken text", "look", "Read the file in its own encoding; take out markup."),
    "outlier": Kind("Unusual lengths", "look", "Read them."),
}
FINDERS: tuple[Finder, ...] = (
    contamination,
    exposed,
    conflicting_answers,
    label_errors,
    empty_answers,
    exact_duplicates,
    near_duplicates,
    refused_answers,
    templated_answers,
    imbalance,
    toxic,
    other_languages,
    outliers,
)


def examined(case: Case, say: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """-> all findings. `say` hears what is being looked for. Of many rows the slowest finder has its own process."""
    wait = begun(exposed, case) if worth_it(case) else None
    found: dict[Finder, list[Finding]] = {}
    for finder in FINDERS:
        if finder is not exposed or wait is None:
            say(finder.__name__.replace("_", " "))
            found[finder] = finder(case)
    if wait is not None:
        say("exposed, in a second process")
        found[exposed] = wait()
    return in_order([one for finder in FINDERS for one in found[finder]])


def in_order(found: list[Finding]) -> list[Finding]:
    """-> the most important first."""
    places = list(KINDS)
    return sorted(found, key=lambda finding: places.index(finding.kind))
