"""Which base starts best on some rows, and which cannot learn them at all, before anything is trained.

    bits per byte = sum over the answers of -log2 p / their bytes in UTF-8

A byte is the same for every tokenizer, so bases compare; a loss per token is not. The rows are those of the validation
part and some of the training part: which base is best must not be decided on test rows.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tunesmith.catalogue.entries import CATALOGUE, paints
from tunesmith.catalogue.fetch import is_here
from tunesmith.core.batch import Example
from tunesmith.core.errors import UserError
from tunesmith.core.freed import give_back
from tunesmith.data.prepare import Prepared, gather
from tunesmith.ends import face
from tunesmith.evaluate.before_after import loss
from tunesmith.evaluate.statistics import Difference, paired_difference, paired_statistic
from tunesmith.evidence import Questions, measured
from tunesmith.models.hub import known_models
from tunesmith.opening import Opened, found_rows, open_base, open_source
from tunesmith.recipe import Recipe, make_recipe
from tunesmith.show import Show

ROWS = 48  # that each base reads
SPLIT = (0.5, 0.4, 0.1)  # the test part is the one that a run would have


@dataclass(frozen=True, slots=True)
class Standing:
    """What one base does on the rows."""

    name: str
    cannot: str | None = None
    """Why it cannot learn these rows; then there are no numbers."""
    bits: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    """By row: the bits of its answer, and its bytes."""
    right: Mapping[int, bool] = field(default_factory=dict)
    """By row, where rows have labels: whether the right one was the likeliest."""
    tokens: int = 0
    parameters: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def bits_per_byte(self) -> float:
        return sum(b for b, _ in self.bits.values()) / max(1, self.bytes)

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.bits.values())

    @property
    def accuracy(self) -> float | None:
        return sum(self.right.values()) / len(self.right) if self.right else None

    @property
    def order(self) -> tuple[float, float]:
        return (-(self.accuracy or 0.0), self.bits_per_byte)

    def document(self) -> dict[str, Any]:
        if self.cannot is not None:
            return {"name": self.name, "cannot": self.cannot}
        return {
            "name": self.name,
            "bits_per_byte": self.bits_per_byte,
            "accuracy": self.accuracy,
            "rows": len(self.bits),
            "tokens_per_byte": self.tokens / max(1, self.bytes),
            "parameters": self.parameters,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Advice:
    standings: tuple[Standing, ...]
    """Best first; those that cannot come last."""
    sentence: str

    def document(self) -> dict[str, Any]:
        return {"bases": [one.document() for one in self.standings], "advice": self.sentence}


def on_disk() -> list[str]:
    """-> the names of the bases that are on this machine: of the catalogue, then of the hub's cache."""
    named = [e.name for e in CATALOGUE.values() if e.kind == "base" and is_here(e.name)]
    return [*named, *known_models()]


def advise(data: str, names: Sequence[str], say: Callable[[str], None]) -> Advice:
    """-> the bases `names` on the rows of `data`. Raises UserError where the rows themselves cannot be read."""
    names = list(dict.fromkeys(names))
    gather(found_rows(_recipe(data, names[0]), _silent).texts, False)  # what is wrong with the rows is said once
    standings = []
    for name in names:
        say(f"{name}: reading {data}")
        standings.append(_standing(name, data))
        if (why := standings[-1].cannot) is not None:
            say(f"{name}: cannot learn these rows: {why}")
    known = sorted((one for one in standings if one.cannot is None), key=lambda one: one.order)
    rest = [one for one in standings if one.cannot is not None]
    if not known:
        reasons = "; ".join(f"{one.name}: {one.cannot}" for one in rest)
        raise UserError(f"none of {len(rest)} bases can learn these rows: {reasons}")
    return Advice((*known, *rest), _sentence(known))


def _standing(name: str, data: str) -> Standing:
    if paints(name):
        return Standing(name, cannot="it makes pictures, and these rows are texts")
    try:
        opened = open_base(open_source(_recipe(data, name), _silent), None, _silent)
    except UserError as error:
        return Standing(name, cannot=str(error))
    try:
        return _measured(name, opened)
    finally:
        give_back()


def _recipe(data: str, base: str) -> Recipe:
    rows = {"train": data, "split": list(SPLIT)}
    return make_recipe({"base": base, "data": rows, "evaluate": {"general": False, "answers": 0, "score_answers": 0}})


def _measured(name: str, opened: Opened) -> Standing:
    tokenizer, prepared = opened.base.tokenizer, _some(opened.prepared)
    questions = Questions.of(prepared, tokenizer, opened.recipe.asked)
    model = face(opened.base.network).eval()
    begin = time.perf_counter()
    with Show(_silent).watch(f"reading with {name}", questions.tokens) as seen:
        found = measured(model, tokenizer, questions, opened.tokens_per_pass, seen)
    seconds = time.perf_counter() - begin
    sizes: dict[int, int] = defaultdict(int)
    for example in prepared.test:
        sizes[example.row] += _bytes(tokenizer, example)
    nats: dict[int, float] = defaultdict(float)
    for outcome in found.outcomes:
        nats[outcome.row] += outcome.nll
    notes = [] if tokenizer.chat_template else ["no chat template: question and answer are joined as one text"]
    return Standing(
        name,
        bits={row: (nats[row] / math.log(2), sizes[row]) for row in nats if sizes[row]},
        right={o.row: o.predicted == o.gold for o in found.outcomes if o.gold is not None},
        tokens=sum(sum(example.trained) for example in prepared.test),
        parameters=opened.base.network.num_parameters(),
        seconds=seconds,
        notes=tuple(notes),
    )


def _some(prepared: Prepared) -> Prepared:
    """-> with some validation rows, spread over all, in the place of the test part."""
    rows = sorted({example.row for example in prepared.validation})
    if not rows:
        raise UserError("data: there are no rows beside the first part of data.split; give more rows")
    count = min(ROWS, len(rows))
    kept = {rows[place * len(rows) // count] for place in range(count)}
    return replace(
        prepared,
        test=[example for example in prepared.validation if example.row in kept],
        test_items=[item for item in prepared.validation_items if item.row in kept],
    )


def _bytes(tokenizer: Any, example: Example) -> int:
    """-> how long the trained text of an example is; what only marks its end counts nothing."""
    trained = [token for token, wanted in zip(example.tokens, example.trained, strict=True) if wanted]
    return len(str(tokenizer.decode(trained, skip_special_tokens=True)).encode())


def _sentence(known: Sequence[Standing]) -> str:
    first = known[0]
    said = f"{first.name} starts best: {_numbers(first)}"
    if len(known) == 1:
        return f"{first.name} is the only base here that can learn these rows: {_numbers(first)}"
    second = known[1]
    found = difference(second, first)
    told = f"{said}, before {second.name} with {_numbers(second)}; of these {found.n} rows: {found.verdict}"
    slower = first.seconds / max(second.seconds, 1e-9)
    cost = f"; it takes {slower:.1f} times as long to read them" if slower > 1.5 else ""
    return f"{told}{cost}. Where a base starts is not where it ends: `tunesmith train` both when they are near"


def _numbers(one: Standing) -> str:
    right = "" if one.accuracy is None else f"{100 * one.accuracy:.1f} % of the labels right, "
    return f"{right}{one.bits_per_byte:.3f} bits per byte"


def difference(one: Standing, other: Standing) -> Difference:
    """`other` less `one` on the rows that both have read: of the share of right labels, or of bits per byte."""
    if one.right and other.right:
        rows = sorted(set(one.right) & set(other.right))
        before, after = ([float(side.right[row]) for row in rows] for side in (one, other))
        return paired_difference(before, after, higher_is_better=True)
    rows = sorted(set(one.bits) & set(other.bits))
    first, second = (np.array([side.bits[row] for row in rows], float).reshape(-1, 2) for side in (one, other))
    return paired_statistic(loss, first, second, higher_is_better=False)


def _silent(line: str) -> None:
    pass
