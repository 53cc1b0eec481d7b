"""Prompts whose answers are still to be written: sampled to learn from, greedy to be measured by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tunesmith.core.answers import Asked
from tunesmith.core.batch import Example, TokenBatch
from tunesmith.core.rollouts import RolloutBatch
from tunesmith.evaluate.before_after import Outcome
from tunesmith.methods.activity import base_only
from tunesmith.models.language import CausalLM, Packed
from tunesmith.models.valued import ValuedLM
from tunesmith.rewards.reward import Reward, Scored
from tunesmith.streams.rollouts import Rollouts, Written
from tunesmith.streams.samples import add_samples
from tunesmith.streams.signs import Signs
from tunesmith.streams.stream import Feed
from tunesmith.tasks.judging import judged, reward_of
from tunesmith.tasks.task import Refer, Scorer, Task
from tunesmith.tasks.writing import Writer, evaluating
from tunesmith.train.progress import Event

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened

SHOWN = 8  # validation prompts whose answers are kept at each validation


@dataclass(frozen=True, slots=True)
class Greedy:
    """The likeliest answers to some prompts, and what they are worth."""

    answers: list[str]
    lengths: list[int]
    worth: Scored


@dataclass
class Player(Writer):
    """A model that answers prompts, and the judge of its answers."""

    reward: Reward

    def judge(self, asked: Sequence[Asked], answers: Sequence[Sequence[int]]) -> Scored:
        return self.reward([judged(a, self.text(tokens)) for a, tokens in zip(asked, answers, strict=True)])

    def greedy(self, model: CausalLM, asked: Sequence[Asked]) -> Greedy:
        written = self.write(model, [one.tokens for one in asked], None)
        answers = [list(one.tokens) for one in written]
        return Greedy([self.text(a) for a in answers], list(map(len, answers)), self.judge(asked, answers))


@dataclass
class PromptFeed:
    """The feed of a run that learns from its own answers. It speaks, hears the events of the loop, and is closed."""

    opened: "Opened"
    model: CausalLM
    player: Player
    rollouts: Rollouts
    step: int = 0  # steps that are done
    said: list[Callable[[str], None]] = field(default_factory=list)

    def __call__(self, prompts: Sequence[Asked], step: int | None) -> list[RolloutBatch]:
        return self.rollouts(prompts, step)

    def hear(self, event: Event) -> None:
        self.step = event.step

    def say(self, sentence: str) -> None:
        for listener in self.said:
            listener(sentence)

    def close(self) -> None:
        self.player.reward.close()

    def validate(self, asked: Sequence[Asked]) -> Mapping[str, float]:
        """-> the reward of the likeliest answers, its terms, their length; and as `loss` what is to become small."""
        found = self.player.greedy(self.model, asked)
        add_samples(self.opened.recipe.folder / "samples.jsonl", self.step, self._samples(asked, found))
        terms = {f"reward/{name}": _mean(values) for name, values in found.worth.terms.items()}
        reward = _mean(found.worth.total)
        own = {"loss": -reward, "reward": reward, "answer_length": _mean(found.lengths)}
        return own | (terms if len(terms) > 1 else {})

    def _samples(self, asked: Sequence[Asked], found: Greedy) -> Iterator[dict[str, Any]]:
        for one, answer, worth in zip(asked[:SHOWN], found.answers, found.worth.total, strict=False):
            yield {"row": one.row, "prompt": one.prompt, "answer": answer, "reward": worth}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def player_of(opened: "Opened") -> Player:
    return Player(opened, reward_of(opened.recipe.objective))


def _feed(opened: "Opened", model: Packed, refer: Refer) -> Feed:
    assert isinstance(model, CausalLM), "a network with a head writes no answers"
    objective, folder = opened.recipe.objective, opened.recipe.folder
    player = player_of(opened)
    reader = Reader(opened, model)

    def write(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Sequence[Written]:
        return player.write(model, prompts, seeds)

    rollouts = Rollouts(
        objective,
        write,
        player.judge,
        reader,
        opened.tokens_per_pass,
        opened.recipe.train.seed,
        folder / "rollouts",
        lambda: checkpoints(folder),
        opened.prepared.train,  # type: ignore[arg-type]
    )
    feed = PromptFeed(opened, model, player, rollouts)
    rollouts.signs = Signs(feed.say, alone=objective.kind == "ppo")
    return feed


def checkpoints(folder: Path) -> list[int]:
    """-> the steps that a run in `folder` can go on from."""
    names = (path.name.removeprefix("step-") for path in (folder / "checkpoints").glob("step-*"))
    return [int(name) for name in names if name.isdecimal()]


class Reader:
    """What policy and base say of answers that are there."""

    def __init__(self, opened: "Opened", model: CausalLM) -> None:
        self.opened, self.model = opened, model

    @cached_property
    def _copy(self) -> CausalLM:
        """The base beside a model whose own weights train."""
        from tunesmith.opening import reopen

        return CausalLM(reopen(self.opened), self.model.way).eval()

    @contextmanager
    def _base(self) -> Iterator[CausalLM]:
        if self.opened.recipe.method.kind == "full":
            yield self._copy
        else:
            with base_only(self.model.network):
                yield self.model

    @torch.no_grad()
    def __call__(self, packed: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        packed = packed.to(self.opened.device)
        with evaluating(self.model):
            if isinstance(self.model, ValuedLM):
                policy, values = self.model.with_values(packed)
            else:
                policy = self.model(packed)
                values = torch.zeros_like(policy)
            with self._base() as base:
                return policy, base(packed), values


def sizes(questions: "Questions") -> list[int]:
    """Nothing is read to be scored: the answers are written."""
    return []


def _outcomes(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    raise AssertionError("answers to prompts are measured by `rewarded`")


def rewarded(opened: "Opened") -> Callable[[Packed, Sequence[Example]], list[Outcome]]:
    """-> what a model's likeliest answers to the test rows are worth."""

    def outcomes(model: Packed, asked: Sequence[Example]) -> list[Outcome]:
        assert isinstance(model, CausalLM), "a network with a head writes no answers"
        rows: list[Asked] = [*asked]  # type: ignore[list-item]
        player = player_of(opened)
        try:
            found = player.greedy(model, rows)
        finally:
            player.reward.close()
        return [Outcome(one.row, 0.0, 0, reward=worth) for one, worth in zip(rows, found.worth.total, strict=True)]

    return outcomes


TASK = Task(_feed, sizes, _outcomes)
