"""A trained reward model as a term of a reward. It reads text: its tokenizer may be another than the policy's."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from tunesmith.core.errors import UserError
from tunesmith.core.files import sha256
from tunesmith.rewards.reward import Asked, Described, shown

Rewards = Callable[[Sequence[tuple[str, str]]], list[float]]
"""(prompt, answer) pairs -> a number for each."""
EMPTY = "."  # what an empty answer is judged as: a reward model has never seen an answer without a token


class RewardModel:
    """`weights`: the file of it, whose hash the report names."""

    def __init__(self, name: str, weights: Path, rewards: Rewards) -> None:
        self.name, self._rewards = name, rewards
        self.described = Described(name, str(weights), sha256(weights))

    def refuse(self, asked: Sequence[Asked]) -> None:
        """It can judge any row."""

    def __call__(self, asked: Sequence[Asked]) -> list[float]:
        try:
            found = self._rewards([(one.prompt, one.answer.strip() or EMPTY) for one in asked])
        except UserError as error:
            raise UserError(f"objective.reward: the reward model {self.name}: {error}") from error
        for one, value in zip(asked, found, strict=True):
            if not math.isfinite(value):
                raise UserError(
                    f"{one.place}: the reward model {self.name} gives {value} for the answer {shown(one.answer)}; "
                    "train it again, or with a lower rate"
                )
        return found

    def close(self) -> None:
        """It goes with the run."""
