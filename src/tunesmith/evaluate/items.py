"""`items.jsonl`: what base and tuned model did on every held-out item, one line an item, to pair them with anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.files import write_text
from tunesmith.evaluate.before_after import Outcome

NAME = "items.jsonl"
TEST, GENERAL = "test", "general"

General = tuple[float, int, int]
"""Of one piece of general text: the sum of -log p, the tokens, and how many of them were the most likely ones."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on all items."""

    outcomes: list[Outcome]
    general: list[General]
    answers: dict[int, str]  # by the place of the item; only those that are scored are kept in the file


def write_items(folder: Path, sides: Mapping[str, Measured]) -> None:
    """Write what the `sides` (base, tuned) did on the same items, in the same order."""
    some = next(iter(sides.values()))
    lines: list[dict[str, Any]] = []
    for place, item in enumerate(some.outcomes):
        own = {name: _of_item(side, place) for name, side in sides.items()}
        asked: dict[str, Any] = {"gold": item.gold} if item.gold is not None else {}
        if item.wanted is not None:
            asked["wanted"] = item.wanted
        if item.value is not None:
            asked["value"] = item.value[1]
        if item.answer is not None:  # words are written only where answers are scored: in other runs none of the user's
            asked["reference"] = item.reference
        lines.append({"part": TEST, "row": item.row, "tokens": item.tokens} | asked | own)
    for place, (_, tokens, _) in enumerate(some.general):
        own = {name: {"nll": side.general[place][0], "right": side.general[place][2]} for name, side in sides.items()}
        lines.append({"part": GENERAL, "row": place + 1, "tokens": tokens} | own)
    write_text(folder / NAME, "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines))


def _of_item(side: Measured, place: int) -> dict[str, Any]:
    outcome = side.outcomes[place]
    said = {"predicted": outcome.predicted} if outcome.predicted is not None else {}
    answer = {"answer": outcome.answer} if outcome.answer is not None else {}
    preference = {"preference": list(outcome.preference)} if outcome.preference is not None else {}
    reward = {"reward": outcome.reward} if outcome.reward is not None else {}
    sure = {"probabilities": list(outcome.probabilities)} if outcome.probabilities is not None else {}
    value = {"value": outcome.value[0]} if outcome.value is not None else {}
    return {"nll": outcome.nll} | said | answer | preference | sure | value | reward


def read_items(folder: Path, side: str) -> Measured:
    """-> what one side did. Raises UserError when the file is not there or damaged."""
    path = folder / NAME
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        test = [line for line in lines if line["part"] == TEST]
        texts = [line for line in lines if line["part"] == GENERAL]
        general = [(line[side]["nll"], line["tokens"], line[side]["right"]) for line in texts]
        answers = {place: line[side]["answer"] for place, line in enumerate(test) if "answer" in line[side]}
        return Measured([_outcome(line, side) for line in test], general, answers)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: missing or damaged ({error}); remove its folder and give the command again"
        ) from error


def _outcome(line: Mapping[str, Any], side: str) -> Outcome:
    own = line[side]
    known = (line["row"], own["nll"], line["tokens"], own.get("predicted"), line.get("gold"))
    right, apart = own.get("preference", (None, None))
    return Outcome(
        *known,
        answer=own.get("answer"),
        reference=line.get("reference", ""),
        preference=None if right is None else (float(right), float(apart)),
        wanted=line.get("wanted"),
        reward=own.get("reward"),
        probabilities=tuple(own["probabilities"]) if "probabilities" in own else None,
        value=(own["value"], line["value"]) if "value" in own else None,
    )


def same_items(one: Sequence[Outcome], other: Sequence[Outcome]) -> bool:
    """Whether two models were asked the same."""
    return [(o.row, o.tokens, o.gold) for o in one] == [(o.row, o.tokens, o.gold) for o in other]
