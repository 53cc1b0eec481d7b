"""The judge of answers: the reward that a recipe names, opened, and the rows that it is to judge."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.core.answers import Asked
from tunesmith.core.errors import UserError
from tunesmith.rewards.model import RewardModel
from tunesmith.rewards.named import open_reward
from tunesmith.rewards.reward import Asked as Judged
from tunesmith.rewards.reward import Reward

if TYPE_CHECKING:
    from tunesmith.data.prepare import Prepared


def judged(asked: Asked, answer: str) -> Judged:
    return Judged(asked.prompt, answer, asked.values, f"row {asked.row}")


def reward_of(objective: Any) -> Reward:
    """Raises UserError for a reward that cannot be used."""
    return open_reward(objective.reward, seconds=objective.reward_seconds, model=reward_model)


@lru_cache(maxsize=1)
def reward_model(folder: Path) -> RewardModel:
    """-> the reward model that an earlier run made, opened as anyone would open it; kept, for a run opens it thrice."""
    from tunesmith.scorer import load_scorer

    scorer = load_scorer(folder)
    if not scorer.rewards_answers:
        raise UserError(f"objective.reward: {folder} scores texts, not answers; train one with objective=reward")
    artifact = next((place for name in ("adapter", "model") if (place := folder / name).is_dir()), folder)
    return RewardModel(str(folder), min(artifact.glob("*.safetensors")), scorer.rewards)


def refuse_rows(objective: Any, prepared: "Prepared", context: int | None) -> list[dict[str, Any]]:
    """-> the terms of the reward: names, weights, and the files of the user with their hashes.

    Raises UserError for a reward that cannot be used, and for rows that it cannot judge or that are too long.
    """
    rows: list[Asked] = [*prepared.train, *prepared.validation, *prepared.test]  # type: ignore[list-item]
    for one in rows:
        if context is not None and len(one.tokens) + objective.answer_tokens > context:
            raise UserError(
                f"row {one.row}: the prompt has {len(one.tokens)} tokens and its answer may have "
                f"{objective.answer_tokens}, more than the {context} that the base reads; shorten it, or lower "
                "objective.answer_tokens"
            )
    with reward_of(objective) as reward:
        reward.refuse([judged(one, "") for one in rows])
        return reward.described()
