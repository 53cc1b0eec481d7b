"""What the rows are, without a judgement: lengths, turns, roles, languages, labels, and how much they differ."""

from collections import Counter
from itertools import pairwise
from statistics import median
from typing import Any

from tunesmith.doctor.case import Case
from tunesmith.doctor.toxicity import judge_of

_SAMPLE = 2000  # rows whose words are counted for diversity: it falls with their number, so the number is fixed


def facts(case: Case) -> dict[str, Any]:
    whole = case.whole
    turns = Counter(
        sum(role in ("user", "assistant", "tool") for role in entry.roles) for entry in whole if entry.roles
    )
    roles = Counter(role for entry in whole for role in entry.roles)
    judge = judge_of(case)
    return {
        "words": _lengths([len(words) for words in case.words]),
        "prompt_characters": _lengths([len(entry.prompt) for entry in whole if entry.prompt]),
        "answer_characters": _lengths([len(e.answer) for e in whole if e.answer and e.label is None]),
        "turns": {str(count): number for count, number in sorted(turns.items())},
        "roles": dict(roles.most_common()),
        "languages": dict(Counter(case.languages).most_common()),
        "labels_of_all": case.labels,
        "diversity": _diversity(case),
        "toxicity": f"by `{judge.name}`" if judge else "not looked for: no scorer is installed or named",
    }


def _lengths(sizes: list[int]) -> dict[str, float] | None:
    if not sizes:
        return None
    ordered = sorted(sizes)
    ninety = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    return {"shortest": ordered[0], "median": median(ordered), "p90": ninety, "longest": ordered[-1]}


def _diversity(case: Case) -> dict[str, float]:
    """Distinct-n (Li et al. 2016) over at most 2,000 rows, evenly spread; prompts and beginnings that differ."""
    step = max(1, len(case.words) // _SAMPLE)
    some = case.words[::step][:_SAMPLE]
    pairs = [pair for words in some for pair in pairwise(words)]
    words_ = [word for words in some for word in words]
    prompts = [entry.prompt for entry in case.whole if entry.prompt]
    begins = [" ".join(e.answer.split()[:3]).casefold() for e in case.whole if e.answer and e.label is None]
    parts: dict[str, list[Any]] = {
        "distinct_words": words_,
        "distinct_pairs": pairs,
        "distinct_prompts": prompts,
        "distinct_beginnings": begins,
    }
    return {name: round(len(set(values)) / len(values), 4) for name, values in parts.items() if values}
