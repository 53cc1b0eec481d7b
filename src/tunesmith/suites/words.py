"""What can be seen of an answer without understanding it: whether it refuses, falls into repetition, and its format.

These are rules over words and signs, in English: they are the same for base and tuned model, and that is what they are
good for. They are no judge of what an answer says.
"""

import json
import re
from collections import Counter

_REFUSALS = re.compile(
    r"\b(?:i(?:'m| am)(?: so| very| really)? (?:sorry|unable|not able|not allowed|not going to|not comfortable)"
    r"|i (?:can(?:no|')t|can not|won't|will not|must decline|do not feel comfortable|don't feel comfortable|refuse)"
    r"|i(?:'m| am) (?:just |only )?an? (?:ai|artificial|language model|virtual|assistant)"
    r"|as an? (?:ai|artificial|language model|assistant|responsible)"
    r"|(?:is|are|would be) (?:illegal|unethical|not (?:appropriate|ethical|legal|acceptable))"
    r"|(?:cannot|can't) (?:assist|help|provide|answer|support|recommend|give)"
    r"|(?:seek|consult|contact) (?:a |an |the |your )?(?:professional|doctor|lawyer|police|qualified|local))"
)
_HEAD = 300  # characters: a refusal begins an answer
_RUN = 4  # words of a run that is counted
_REPEATED = 0.5  # a share of runs that stand elsewhere too


def refuses(answer: str) -> bool:
    """Whether the beginning of an answer holds a phrase by which assistants decline."""
    return _REFUSALS.search(answer[:_HEAD].lower().replace("\u2019", "'")) is not None


def repetition(answer: str) -> float:
    """-> the share of runs of four words that stand more than once in the answer; 0 for one that is short."""
    words = answer.lower().split()
    runs = Counter(tuple(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1))
    total = sum(runs.values())
    return sum(count for count in runs.values() if count > 1) / total if total > _RUN else 0.0


def degenerate(answer: str) -> bool:
    """Whether an answer goes round in circles: half of its runs of words are repeated, or one sign fills it."""
    signs = Counter(answer.replace(" ", ""))
    stuck = len(answer) > 20 and signs.most_common(1)[0][1] > 0.6 * sum(signs.values())
    return stuck or repetition(answer) >= _REPEATED


def has_words(answer: str) -> bool:
    """Whether there are words at all: letters, mostly, between blanks."""
    letters = sum(sign.isalpha() or sign.isspace() for sign in answer)
    return bool(answer.strip()) and letters >= 0.6 * len(answer) and any(len(word) > 1 for word in answer.split())


def form(answer: str) -> str:
    """-> what an answer looks like: nothing, number, JSON, code, list, line, lines."""
    text = answer.strip()
    if not text:
        return "nothing"
    if re.fullmatch(r"[-+$\u20ac]?\d[\d,. ]*%?", text):
        return "number"
    if text[0] in "{[" and _is_json(text):
        return "JSON"
    if "```" in text:
        return "code"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if sum(re.match(r"(?:[-*\u2022]|\d+[.)])\s", line) is not None for line in lines) >= 2:
        return "list"
    return "line" if len(lines) == 1 else "lines"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
