"""What a sampling shows beside its loss: rewards by term, lengths, groups without signal; and when to warn or stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tunesmith.core.errors import UserError
from tunesmith.streams.credit import Groups, tells

WARN, STOP = 5, 25  # samplings in a row without any difference in reward
SEEN = 12  # samplings that the warning about length looks back at


def _silent(text: str) -> None:
    pass


@dataclass
class Signs:
    """Remembers the last samplings of this process."""

    say: Callable[[str], None] = _silent
    alone: bool = False  # answers are judged by themselves, not within a group
    _flat: int = 0
    _course: list[tuple[float, float, float]] = field(default_factory=list)  # reward, tokens, their correlation
    _warned: bool = False

    def of(self, groups: Groups, terms: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """-> what to log. Warns through `say`, and raises UserError where there has been no signal for long."""
        rewards = np.array([[answer.reward for answer in group] for group in groups])  # (N, G)
        lengths = np.array([[len(answer.tokens) for answer in group] for group in groups], float)
        judged = [[answer for group in groups for answer in group]] if self.alone else groups
        silent = np.array([not tells(group) for group in judged])
        self._refuse_silence(bool(silent.all()), rewards)
        self._warn_of_length(rewards, lengths)
        told = {
            "reward": float(rewards.mean()),
            "reward_std": float(rewards.std()),
            "answer_length": float(lengths.mean()),
            "ended": float(np.mean([answer.ended for group in groups for answer in group])),
            "groups_without_signal": float(silent.mean()),
        }
        if len(terms) > 1:
            told |= {f"reward/{name}": float(np.mean(values)) for name, values in terms.items()}
        return told

    def _refuse_silence(self, silent: bool, rewards: np.ndarray) -> None:
        self._flat = self._flat + 1 if silent else 0
        which = "all answers" if self.alone else "the answers to each prompt"
        if self._flat == WARN:
            self.say(
                f"warning: for {WARN} samplings {which} had the same reward (the last mean is {rewards.mean():.4g}): "
                "there is nothing to learn from; the task is too hard or too easy, or the reward never tells"
            )
        if self._flat >= STOP:
            raise UserError(
                f"objective.reward: for {STOP} samplings {which} had the same reward (the last mean is "
                f"{rewards.mean():.4g}); take prompts that the base answers well sometimes, a reward with steps in "
                "between, or more answers (objective.answers)"
            )

    def _warn_of_length(self, rewards: np.ndarray, lengths: np.ndarray) -> None:
        """Both have risen together, and within a group it is the longer answers that are rewarded."""
        self._course.append((float(rewards.mean()), float(lengths.mean()), _within(rewards, lengths)))
        del self._course[:-SEEN]
        if self._warned or len(self._course) < SEEN:
            return
        reward, length, within = np.array(self._course).T
        half = SEEN // 2
        longer = length[half:].mean() > 1.2 * length[:half].mean()
        if longer and _correlation(reward, length) > 0.8 and within.mean() > 0.4:
            self._warned = True
            self.say(
                f"warning: the reward grows with the length of answers (from {length[0]:.0f} to {length[-1]:.0f} "
                f"tokens; correlation {_correlation(reward, length):.2f} over samplings and {within.mean():.2f} among "
                "answers): look at the answers in samples.jsonl, and whether the reward can be had by length alone"
            )


def _within(rewards: np.ndarray, lengths: np.ndarray) -> float:
    """-> the correlation of reward and length among the answers to the same prompt."""
    return _correlation(*(x - x.mean(1, keepdims=True) for x in (rewards, lengths)))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.ravel() - one.mean(), other.ravel() - other.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0
