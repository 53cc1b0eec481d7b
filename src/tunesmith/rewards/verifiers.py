"""The verifiers that come with the package: what a program can judge of an answer, as a number from 0 to 1.

This file imports nothing of ours: it is loaded by its path into a process of its own (see `worker`), where a pattern
that takes for ever, or a library that fails, does no harm. Each name stands for a function that takes the option
behind the colon (`regex:^\\d+$`) and gives the reward. A bad option is a ValueError.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Verifier = Callable[[str, str, Row], float]

GOLD = ("answer", "completion")  # where a row holds the right answer
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
# A sign counts only where it cannot be a minus between two numbers.
_NUMBER = re.compile(
    r"(?<![\w.])(?:(?<![)\]])-)?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)
_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)


def final(answer: str) -> str:
    """-> what is judged: the last part in <answer> tags where there is one, else all that is not a thought."""
    marked = _ANSWER.findall(answer)
    return marked[-1] if marked else _THOUGHT.sub(" ", answer)


def normalised(text: str) -> str:
    """Case, runs of white space, the form of letters, and a full stop at the end do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!").rstrip()


def last_number(text: str) -> Decimal | None:
    """-> the last number written in digits: `1,234.50`, `-3`, `.5`. Units, signs of money and per cent do not count."""
    found = _NUMBER.findall(text.replace("\u2212", "-"))
    return Decimal(found[-1].replace(",", "")) if found else None


def gold(row: Row) -> str | None:
    """-> the row's right answer as text."""
    value = next((row[name] for name in GOLD if row.get(name) is not None), None)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def exact(option: str | None) -> Verifier:
    """1 where the answer is the row's, after `normalised`."""
    _refuse(option)
    return lambda prompt, answer, row: float(normalised(final(answer)) == normalised(gold(row) or ""))


def number(option: str | None) -> Verifier:
    """1 where the last number of the answer equals the last number of the row's answer."""
    _refuse(option)
    return lambda prompt, answer, row: float(last_number(final(answer)) == last_number(gold(row) or ""))


def regex(option: str | None) -> Verifier:
    """1 where the pattern is found in the answer."""
    if not option:
        raise ValueError("write the pattern behind a colon, for example regex:^[0-9]+$")
    try:
        pattern = re.compile(option)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return lambda prompt, answer, row: float(pattern.search(answer) is not None)


def json_schema(option: str | None) -> Verifier:
    """1 where the answer, alone or in a fenced block, is JSON that the schema in the file `option` allows."""
    if not option:
        raise ValueError("name a file behind a colon, for example json-schema:schema.json")
    try:
        from jsonschema import exceptions, validators
    except ImportError:
        raise ValueError("jsonschema is not installed; run `pip install 'tunesmith[rewards]'`") from None
    try:
        schema = json.loads(Path(option).read_text(encoding="utf-8"))
        kind = validators.validator_for(schema)
        kind.check_schema(schema)
    except (OSError, ValueError, RecursionError, exceptions.SchemaError) as error:
        raise ValueError(f"{option} cannot be used as a JSON schema ({str(error).splitlines()[0]})") from None
    check = kind(schema)

    def judge(prompt: str, answer: str, row: Row) -> float:
        fenced = _FENCED.match(text := final(answer))
        try:
            value = json.loads(fenced[1] if fenced else text)
        except (ValueError, RecursionError):
            return 0.0
        return float(check.is_valid(value))

    return judge


def length(option: str | None) -> Verifier:
    """1 where the answer has `low-high` words; less, in proportion, the further outside it is."""
    low, dash, high = (option or "").partition("-")
    if not (dash and low.isdecimal() and high.isdecimal() and 0 < int(high) >= int(low)):
        raise ValueError("write the fewest and the most words behind a colon, for example length:10-200")
    least, most = int(low), int(high)

    def judge(prompt: str, answer: str, row: Row) -> float:
        words = len(answer.split())
        return words / least if words < least else 1.0 if words <= most else most / words

    return judge


def tagged(option: str | None) -> Verifier:
    """1 where the answer is made of these tags, each once and in this order, and nothing outside of them."""
    names = [name.strip() for name in (option or "think,answer").split(",")]
    if not all(re.fullmatch(r"[A-Za-z][\w-]*", name) for name in names) or len(set(names)) < len(names):
        raise ValueError("write names of tags behind a colon, each once, for example format:think,answer")
    marks = [mark for name in names for mark in (f"<{name}>", f"</{name}>")]

    def judge(prompt: str, answer: str, row: Row) -> float:
        if any(answer.count(mark) != 1 for mark in marks):
            return 0.0
        places = [answer.index(mark) for mark in marks]
        outside = answer[: places[0]] + "".join(
            answer[places[i] + len(marks[i]) : places[i + 1]] for i in range(1, len(marks) - 1, 2)
        )
        outside += answer[places[-1] + len(marks[-1]) :]
        return float(places == sorted(places) and not outside.strip())

    return judge


def reasoning_gym(option: str | None) -> Verifier:
    """1 for the entry's own answer. With `score`: what the task of the library says, where it gives full marks.

    Its default gives `len(gold) / len(answer)` to any answer that holds the right one somewhere, which a policy learns
    to live on: part marks never count here.
    """
    if option is None:
        return exact(None)
    if option != "score":
        raise ValueError("only reasoning-gym, or reasoning-gym:score for the library's own judge")
    try:
        import reasoning_gym as library
    except ImportError:
        raise ValueError("reasoning-gym is not installed; run `pip install 'tunesmith[reasoning-gym]'`") from None

    def judge(prompt: str, answer: str, row: Row) -> float:
        task = library.get_score_answer_fn(row["metadata"]["source_dataset"])
        return float(task(answer=final(answer).strip(), entry=row) >= 1)

    return judge


def _refuse(option: str | None) -> None:
    if option is not None:
        raise ValueError("takes no option behind a colon")


VERIFIERS: dict[str, Callable[[str | None], Verifier]] = {
    "exact": exact,
    "number": number,
    "regex": regex,
    "json-schema": json_schema,
    "length": length,
    "format": tagged,
    "reasoning-gym": reasoning_gym,
}


def why_not(name: str, option: str | None, row: Row) -> str | None:
    """-> why no answer to `row` could be judged, in a few words."""
    if name in ("exact", "number", "reasoning-gym") and not (gold(row) or "").strip():
        return f"has no right answer to compare with; give it in the column {' or '.join(f'`{g}`' for g in GOLD)}"
    if name == "number" and last_number(gold(row) or "") is None:
        return f"its right answer {gold(row)!r} holds no number"
    if name == "reasoning-gym" and option == "score":
        data = row.get("metadata")
        if not (isinstance(data, Mapping) and isinstance(data.get("source_dataset"), str)):
            return "has no `metadata` with the `source_dataset` of its task"
    return None
