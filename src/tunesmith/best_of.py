"""Best of n: sample several answers to each prompt, keep the one that is worth most, and learn those by SFT.

The simplest way to learn from a reward, and the one that the others have to beat (rejection sampling; Stiennon 2020,
2009.01325, as a policy; Dong 2023, 2304.06767, as a training set).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.data.rows import Row, read_rows
from tunesmith.loaded import Loaded
from tunesmith.models.generate import generate
from tunesmith.models.sampling import Sampling
from tunesmith.rewards.reward import Asked, Reward
from tunesmith.streams.rollouts import seed_of

AT_ONCE = 8  # prompts whose answers are written together
SLOTS = 32  # answers that are written side by side


@dataclass(frozen=True, slots=True)
class Best:
    """The answer that is worth most, and how it compares."""

    row: Row
    answer: str
    reward: float
    first: float  # what the first of the answers is worth: what one sample gives on average
    equal: bool  # all answers are worth the same

    @property
    def values(self) -> dict[str, Any]:
        """A row to learn by SFT."""
        turns = self.row.values.get("messages")
        if turns is not None:
            own = [*_asking(turns), {"role": "assistant", "content": self.answer}]
            return {"messages": own, "reward": self.reward}
        return {"prompt": self.row.values["prompt"], "completion": self.answer, "reward": self.reward}


def prompts_of(source: Path) -> list[Row]:
    """-> rows with a `prompt` or with `messages`. Raises UserError for a row with neither."""
    rows = read_rows(source)
    for row in rows:
        turns, prompt = row.values.get("messages"), row.values.get("prompt")
        if not (isinstance(turns, list) and _asking(turns)) and not (isinstance(prompt, str) and prompt.strip()):
            raise UserError(f"{row.place}: needs a text `prompt`, or `messages` that end with the user")
    return rows


def best_of(loaded: Loaded, rows: Sequence[Row], reward: Reward, *, answers: int, sampling: Sampling) -> Iterator[Best]:
    """-> for each row the best of `answers`; of equal ones the first. Raises UserError for a row it cannot judge."""
    reward.refuse([_asked(row, "") for row in rows])
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        every = [(row, k) for row in some for k in range(answers)]
        prompts = [loaded.asked(_prompt(row)) for row, _ in every]
        seeds = [seed_of(sampling.seed, 0, row.number, k) for row, k in every]
        with loaded.side("on") as network:
            written = generate(
                network, prompts, loaded.stop, sampling, seeds=seeds, tokenizer=loaded.tokenizer, at_once=SLOTS
            )
        texts = [(one.text or "").strip() for one in written]
        worth = reward([_asked(row, text) for (row, _), text in zip(every, texts, strict=True)]).total
        for i, row in enumerate(some):
            own = range(i * answers, (i + 1) * answers)
            best = max(own, key=lambda place: worth[place])
            values = [worth[place] for place in own]
            yield Best(row, texts[best], worth[best], values[0], max(values) == min(values))


def _asked(row: Row, answer: str) -> Asked:
    prompt = _prompt(row)
    if not isinstance(prompt, str):
        prompt = next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")
    return Asked(prompt, answer, row.values, row.place)


def _prompt(row: Row) -> Any:
    turns = row.values.get("messages")
    return row.values["prompt"] if turns is None else _asking(turns)


def _asking(turns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [*turns[:-1]] if turns and turns[-1].get("role") == "assistant" else [*turns]
