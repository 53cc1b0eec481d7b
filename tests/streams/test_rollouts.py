"""The feed of prompts, with a policy that is a table of random numbers."""

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from tunesmith.core.answers import Asked
from tunesmith.core.batch import IGNORED, TokenBatch
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.objectives.grpo import GRPO
from tunesmith.objectives.ppo import PPO
from tunesmith.objectives.rloo import RLOO
from tunesmith.rewards.reward import Scored
from tunesmith.streams import advantages
from tunesmith.streams.rollouts import Rollouts, seed_of
from tunesmith.streams.signs import STOP, WARN, Signs
from tunesmith.train.size import measure

PROMPTS = [Asked([5, 6, 7, 10 + row], [False] * 4, row, None, f"prompt {row}", {"answer": "x"}) for row in range(6)]


@dataclass
class Answer:
    tokens: list[int]
    logprobs: list[float]
    ended: bool


@dataclass
class Policy:
    """Tokens and their log-probabilities are functions of the seed and the token; `weights` is what training moves."""

    weights: float = 0.0
    gap: float = 0.0
    asked: list[int] = field(default_factory=list)

    def write(self, prompts, seeds) -> list[Answer]:
        self.asked.append(len(prompts))
        found = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            draw = torch.Generator().manual_seed(seed % 2**31)
            count = int(torch.randint(1, 8, (1,), generator=draw))
            tokens = (torch.randint(20, 90, (count,), generator=draw) + round(self.weights)).tolist()
            logprobs = [self.logprob(token) + self.gap for token in tokens]
            found.append(Answer(tokens, logprobs, count < 7))
            assert prompt[:3] == [5, 6, 7]
        return found

    def logprob(self, token: int) -> float:
        return -1 - math.sin(token + self.weights) / 2

    def read(self, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        labels = batch.labels[batch.labels != IGNORED].tolist()
        old = torch.tensor([self.logprob(token) for token in labels])
        return old, old - 0.1, torch.tensor([math.cos(token) for token in labels])


def judge(asked, answers) -> Scored:
    total = [float(sum(tokens) % 5) for tokens in answers]
    return Scored(total, {"a": total, "b": [2 * t for t in total]})


def feed(objective, policy=None, **more) -> Rollouts:
    policy = policy or Policy()
    return Rollouts(objective, policy.write, more.pop("judge", judge), policy.read, 64, 3, **more)


def labels(batch) -> list[int]:
    return batch.packed.labels[batch.packed.labels != IGNORED].tolist()


def by_row(passes) -> dict[int, list[tuple]]:
    """-> for each row, its answers with their advantages."""
    found: dict[int, list[tuple]] = {}
    for batch in passes:
        for part in cut_to_prompts(batch):
            pairs = list(zip(part.owner.tolist(), labels(part), part.advantage.tolist(), strict=True))
            found.setdefault(part.rows[0], []).extend(pairs)
    return found


def cut_to_prompts(batch):
    return [batch] if len(batch.rows) == 1 else [part for half in batch.halves() for part in cut_to_prompts(half)]


def test_the_answers_of_a_row_do_not_depend_on_its_neighbours():
    objective = RLOO(reward="x", answers=3)
    together = by_row(feed(objective)(PROMPTS, 0))
    for prompt in PROMPTS:
        assert by_row(feed(objective)([prompt], 0))[prompt.row] == together[prompt.row]
    assert by_row(feed(objective)(PROMPTS, 1)) != together


def test_seeds_are_all_different():
    seeds = {seed_of(s, step, row, k) for s in range(3) for step in range(5) for row in range(20) for k in range(4)}
    assert len(seeds) == 3 * 5 * 20 * 4 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("objective", [GRPO(reward="x", answers=4), RLOO(reward="x", answers=4), PPO(reward="x")])
def test_passes_fit_and_hold_every_answer_once(objective):
    passes = feed(objective)(PROMPTS, 0)
    assert all(measure(batch).tokens <= 64 for batch in passes) and len(passes) > 1
    assert sum(batch.answers for batch in passes) == len(PROMPTS) * 4
    assert {row for batch in passes for row in batch.rows} == set(range(6))
    for batch in passes:
        torch.testing.assert_close(batch.old, torch.tensor([Policy().logprob(t) for t in labels(batch)]))
        torch.testing.assert_close(batch.reference, batch.old - 0.1)


def test_a_prompt_with_more_answers_than_fit_stands_in_several_passes():
    passes = feed(GRPO(reward="x", answers=30))(PROMPTS[:1], 0)
    assert len(passes) > 2 and all(measure(batch).tokens <= 64 for batch in passes)
    total = sum(float(batch.advantage[batch.owner == a][0]) for batch in passes for a in range(batch.answers))
    assert total == pytest.approx(0, abs=1e-4)  # against the mean of all thirty


def test_grpos_advantages_and_weights():
    found = feed(GRPO(reward="x", answers=4))(PROMPTS, 0)
    tokens = sum(batch.units for batch in found)
    for batch in found:
        for a in range(batch.answers):
            own = batch.owner == a
            assert float(batch.weight[own].sum()) == pytest.approx(tokens / 24)  # an answer counts as any other
            assert batch.advantage[own].unique().numel() == 1
    for batch in feed(GRPO(reward="x", answers=4, variant="dapo"))(PROMPTS, 0):
        assert batch.weight.eq(1).all()
    for batch in feed(GRPO(reward="x", answers=4, variant="dr_grpo", answer_tokens=10))(PROMPTS, 0):
        assert batch.weight.numpy() == pytest.approx(tokens / 240)


def test_rloo_takes_the_distance_off_the_reward():
    for beta in (0.0, 2.0):
        passes = feed(RLOO(reward="x", answers=2, beta=beta))(PROMPTS[:1], 0)
        counts = torch.bincount(passes[0].owner)
        worth = torch.tensor([[sum(part) % 5 for part in _answers(passes[0])]], dtype=torch.float32)
        wanted = advantages.leave_one_out(worth - beta * 0.1 * counts)  # the reference is 0.1 a token away
        found = [float(passes[0].advantage[passes[0].owner == a][0]) for a in range(2)]
        assert found == pytest.approx(wanted[0].tolist(), abs=1e-5)


def _answers(batch):
    pairs = list(zip(labels(batch), batch.owner.tolist(), strict=True))
    return [[token for token, owner in pairs if owner == a] for a in range(batch.answers)]


@pytest.mark.parametrize("kl", ["reward", "penalty"])
def test_ppos_advantages_are_gae_whitened(kl):
    objective = PPO(reward="x", answers=2, kl=kl, beta=0.7, discount=0.9, trace=0.8)
    passes = feed(objective)(PROMPTS, 0)
    raw, white, goals = [], [], []
    for batch in passes:
        for a, answer in enumerate(_answers(batch)):
            own = batch.owner == a
            rewards = torch.full((len(answer),), -0.7 * 0.1 if kl == "reward" else 0.0)
            rewards[-1] += sum(answer) % 5
            value = batch.value[own]
            found = advantages.expected(rewards, value, discount=0.9, trace=0.8)
            raw.append(found)
            white.append(batch.advantage[own])
            goals.append((batch.goal[own], found + value))
    torch.testing.assert_close(torch.cat(white), advantages.whitened(torch.cat(raw)), atol=1e-4, rtol=1e-4)
    for found, wanted in goals:
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_the_diary_tells_of_the_sampling():
    told = dict(feed(GRPO(reward="x", answers=4))(PROMPTS, 0)[0].told)
    assert set(told) == {
        "reward", "reward_std", "reward/a", "reward/b", "answer_length", "ended", "groups_without_signal", "sampler_gap"
    }  # fmt: skip
    assert told["reward/b"] == pytest.approx(2 * told["reward/a"]) and told["sampler_gap"] < 1e-6


def test_a_sampler_that_is_another_model_stops_the_run():
    with pytest.raises(RunFailed, match=r"0.3 nats a token away"):
        feed(RLOO(reward="x"), Policy(gap=0.3))(PROMPTS, 0)
    with pytest.raises(RunFailed, match="nan"):
        feed(RLOO(reward="x"), Policy(gap=math.nan))(PROMPTS, 0)


# Several updates


def same(one, other) -> bool:
    """Equal to the byte."""
    pairs = [(getattr(a, n), getattr(b, n)) for a, b in zip(one, other, strict=True) for n in a.__dataclass_fields__]
    for first, second in pairs:
        if isinstance(first, TokenBatch):
            if not same([first], [second]):
                return False
        elif isinstance(first, Tensor):
            if first.dtype != second.dtype or not torch.equal(first, second):
                return False
        elif first != second:
            return False
    return True


def test_one_sampling_serves_several_updates_and_outlives_the_process(tmp_path):
    objective, policy = PPO(reward="x", answers=2, updates=3), Policy()
    first = feed(objective, policy, folder=tmp_path)
    passes = first(PROMPTS[:2], 0)
    policy.weights = 7.0  # it learns
    assert first(PROMPTS[2:4], 1) is passes and first(PROMPTS[4:], 2) is passes and len(policy.asked) == 1
    resumed = feed(objective, policy, folder=tmp_path)
    assert same(resumed(PROMPTS[2:4], 1), passes) and len(policy.asked) == 1
    assert not same(resumed(PROMPTS[2:4], 3), passes) and len(policy.asked) == 2


def test_a_sampling_is_the_same_when_it_is_done_again(tmp_path):
    objective = PPO(reward="x", updates=2)
    assert same(feed(objective, folder=tmp_path / "a")(PROMPTS, 4), feed(objective, folder=tmp_path / "b")(PROMPTS, 4))
    assert (tmp_path / "a/step-000004.safetensors").read_bytes() == (
        tmp_path / "b/step-000004.safetensors"
    ).read_bytes()


def test_only_what_a_run_can_resume_from_stays(tmp_path):
    steps: list[int] = []
    some = feed(PPO(reward="x", updates=4), folder=tmp_path, resumable=lambda: steps)
    for step in (0, 4, 8, 12):
        steps[:] = [step - 3] if step else []
        some(PROMPTS, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000008.safetensors", "step-000012.safetensors"]


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"x" * 50)])
def test_a_sampling_that_is_gone_is_a_clear_line(tmp_path, damage):
    objective = PPO(reward="x", updates=2)
    feed(objective, folder=tmp_path)(PROMPTS, 0)
    damage(tmp_path / "step-000000.safetensors")
    with pytest.raises(RunFailed, match=r"step-000000.safetensors: the answers .* cannot be read"):
        feed(objective, folder=tmp_path)(PROMPTS, 1)


# Signs


def test_a_judge_that_always_says_the_same_is_told_and_then_refused():
    said: list[str] = []

    def constant(asked, answers):
        return Scored([0.25] * len(answers), {"a": [0.25] * len(answers)})

    some = feed(GRPO(reward="x", answers=2), judge=constant, signs=Signs(said.append))
    for step in range(STOP - 1):
        told = dict(some(PROMPTS, step)[0].told)
        assert told["groups_without_signal"] == 1
        assert len(said) == (step >= WARN - 1)
    assert "the same reward (the last mean is 0.25)" in said[0]
    with pytest.raises(UserError, match=f"objective.reward: for {STOP} samplings .* same reward"):
        some(PROMPTS, STOP)


def test_groups_without_signal_are_counted():
    def first_only(asked, answers):
        return Scored([float(i % 2 and one.row == 0) for i, one in enumerate(asked)], {})

    told = dict(feed(GRPO(reward="x", answers=2), judge=first_only)(PROMPTS, 0)[0].told)
    assert told["groups_without_signal"] == pytest.approx(5 / 6)
    assert "reward/a" not in told


def _by_row_only(asked, answers):
    """Answers to even rows differ in worth, those to odd rows do not."""
    return Scored([float(one.row % 2 == 0 and i % 2) for i, one in enumerate(asked)], {"a": [1.0] * len(asked)})


def test_prompts_without_signal_give_their_place_to_others():
    objective, policy = GRPO(reward="x", answers=2, variant="dapo", redraws=1), Policy()
    odd, others = [p for p in PROMPTS if p.row % 2][:2], [p for p in PROMPTS if p.row != 3]
    some = feed(objective, policy, judge=_by_row_only, others=others)
    passes = [some([*odd, PROMPTS[0]], step) for step in range(8)]
    for found in passes:
        rows, told = {row for batch in found for row in batch.rows}, dict(found[0].told)
        assert told["redrawn"] == pytest.approx(2 / 3)  # two were drawn beside the three
        both = rows == {0, 2, 4}  # else row 5 was one of the two, and is no better than what it would replace
        assert both or (len(rows) == 3 and 0 in rows and len(rows & {2, 4}) == len(rows & {1, 3}) == 1)
        assert told["groups_without_signal"] == pytest.approx(0.4 if both else 0.6)
    assert policy.asked == [6, 4] * 8  # no prompt is asked twice in a step
    assert len({tuple(sorted(row for batch in found for row in batch.rows)) for found in passes}) > 1
    again = feed(objective, judge=_by_row_only, others=others)([*odd, PROMPTS[0]], 3)
    assert same(again, passes[3])


def test_what_is_never_found_is_not_looked_for_forever():
    def constant(asked, answers):
        return Scored([1.0] * len(answers), {})

    policy = Policy()
    objective = GRPO(reward="x", answers=2, redraws=20)
    told = dict(feed(objective, policy, judge=constant, others=PROMPTS)(PROMPTS[:4], 0)[0].told)
    assert policy.asked == [8, 4] and told["groups_without_signal"] == 1 and told["redrawn"] == 0.5
    policy = Policy()
    feed(GRPO(reward="x", answers=2), policy, judge=constant, others=PROMPTS)(PROMPTS[:4], 0)
    assert policy.asked == [8]  # GRPO itself has none of it


def _courses(reward_of):
    """Samplings whose answers become longer."""
    from tunesmith.streams.credit import Answered

    said: list[str] = []
    signs = Signs(said.append)
    draw = torch.Generator().manual_seed(0)
    for step in range(24):
        lengths = (torch.randint(1, 10, (4, 4), generator=draw) + 2 * step).tolist()
        groups = [
            [Answered([1] * n, torch.zeros(n), True, reward_of(n, step, draw)) for n in group] for group in lengths
        ]
        signs.of(groups, {})
    return said


def test_a_reward_that_grows_with_length_alone_is_told_once():
    said = _courses(lambda n, step, draw: float(n))
    assert len(said) == 1 and "grows with the length" in said[0]
    assert not _courses(lambda n, step, draw: step / 24 + float(torch.rand(1, generator=draw)))
    assert not _courses(lambda n, step, draw: -float(n))
