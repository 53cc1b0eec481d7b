import math
import random
from pathlib import Path

import pytest
import torch

from tests.train.test_loop import Cut, until
from tests.train.test_step import close, poisoned_loss
from tests.train.tiny_run import CONFIG, ROWS, WORDS, WORLD, Tiny, next_token, result, train
from tunesmith.core.batch import Batch, Example, pack
from tunesmith.core.keyed import Keyed
from tunesmith.streams.stream import alone, drawn_steps
from tunesmith.streams.tokens import token_feed
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.private_step import Noise, PrivateStepper, stepper_of
from tunesmith.train.step import NotFinite, Stepper

KEYED = Keyed(b"a key")
FREE = 1e9  # a clip that clips nothing
EVEN = [Example([3, 4, 5, 6 + n], [True] * 4, n) for n in range(8)]  # as many labels each
FEED = alone(token_feed(1000))


def make(noise: Noise | None, objective=next_token, dtype: torch.dtype = torch.float32) -> Stepper:
    model = Tiny(0.0, dtype)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = Optimizer(parameters, weight_decay=0.0, betas=(0.9, 0.999))
    return stepper_of(model, objective, optimizer, WORLD, None, noise)


def given(stepper: Stepper, passes: list[Batch]) -> torch.Tensor:
    """-> the gradient that the optimizer was given."""
    seen: list[torch.Tensor] = []
    stepper.optimizer.step = lambda rate: seen.append(  # type: ignore[method-assign]
        torch.cat([g.flatten().clone() for g in stepper.optimizer.gradients().values()])
    )
    stepper.step(passes, 0.1)
    return seen[0]


def noise(clip: float = FREE, multiplier: float = 0.0, expected: float = 8) -> Noise:
    return Noise(clip, multiplier, expected, KEYED)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_noise_and_clipping_it_is_the_plain_step(dtype: torch.dtype) -> None:
    found, plain = (given(make(n, dtype=dtype), p) for n, p in ((noise(), FEED(EVEN, 0)), (None, [pack(EVEN)])))
    assert found.dtype == torch.float32
    assert close(found, plain) if dtype == torch.float32 else (found - plain).norm() < 0.02 * plain.norm()
    private, other = make(noise()), make(None)
    for _ in range(3):
        private.step(FEED(EVEN, 0), 0.01)
        other.step([pack(EVEN)], 0.01)
    pairs = zip(private.model.parameters(), other.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_an_example_counts_the_same_however_long_it_is() -> None:
    stepper = make(None)
    by_hand: list[torch.Tensor] = []
    for row in ROWS[:5]:
        stepper.model.zero_grad()
        batch = pack([row])
        (next_token(stepper.model, batch).total / batch.units).backward()
        by_hand.append(torch.cat([p.grad.flatten() for p in stepper.model.parameters() if p.grad is not None]))
    assert close(given(make(noise(expected=5)), FEED(ROWS[:5], 0)), torch.stack(by_hand).mean(0))


@pytest.mark.parametrize("clip", [0.01, 0.3, 2.0])
def test_no_example_moves_the_sum_by_more_than_the_clip(clip: float) -> None:
    whole = given(make(noise(clip, expected=1)), FEED(ROWS, 0))
    for left_out in range(0, len(ROWS), 5):
        without = given(make(noise(clip, expected=1)), FEED([r for i, r in enumerate(ROWS) if i != left_out], 0))
        moved = float((whole - without).norm())
        assert 0 < moved <= clip + 1e-5
    assert make(noise(clip)).step(FEED(ROWS, 0), 0.0)["clipped"] == (1.0 if clip < 0.1 else pytest.approx(0.5, abs=0.5))


def test_noise_is_as_wide_as_it_is_meant_to_be_on_everything_that_trains() -> None:
    private = make(noise(0.5, 4.0, expected=10))
    drawn = given(private, [])  # a step without an example
    assert len(drawn) == sum(p.numel() for p in private.model.parameters() if p.requires_grad)
    assert float(drawn.std()) == pytest.approx(4.0 * 0.5 / 10, rel=0.1)
    assert abs(float(drawn.mean())) < 4 * 0.2 / math.sqrt(len(drawn))
    assert bool((drawn != 0).all())
    again = make(noise(0.5, 4.0, expected=10))
    assert torch.equal(given(again, []), drawn)
    assert not torch.equal(given(again, []), drawn), "two steps had the same noise"
    other = Noise(0.5, 4.0, 10, Keyed(b"another key"))
    assert not torch.equal(given(make(other), []), drawn)


def test_a_step_without_examples_says_no_loss_and_still_moves() -> None:
    stepper = make(noise(1.0, 1.0))
    before = stepper.model.head.weight.detach().clone()
    assert set(stepper.step([], 0.1)) == {"grad_norm"}
    assert not torch.equal(stepper.model.head.weight, before)


def test_what_is_not_a_number_leaves_the_weights_and_names_the_row() -> None:
    stepper = make(noise(1.0, 1.0), poisoned_loss)
    before = [p.detach().clone() for p in stepper.model.parameters()]
    with pytest.raises(NotFinite, match="row "):
        stepper.step(FEED(ROWS, 0), 0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.model.parameters(), strict=True))


def private_run(folder: Path, **others: object) -> None:
    stream = drawn_steps(FEED, ROWS, keyed=KEYED, share=0.1)  # some steps have no example
    train(folder, objective=next_token, stream=stream, noise=Noise(1.0, 0.5, 1.8, KEYED), **others)


def test_a_resumed_private_run_is_the_same_to_the_byte(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    private_run(tmp_path / "whole")
    with pytest.raises(Cut):
        private_run(tmp_path / "cut", on_event=until(6))
    private_run(tmp_path / "cut")
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_rows_are_drawn_each_by_itself() -> None:
    drawn = [
        {row for batch in drawn_steps(FEED, ROWS, keyed=KEYED, share=0.3)(s) for row in batch.rows} for s in range(400)
    ]
    mean, wide = 0.3 * len(ROWS), 4 * math.sqrt(0.3 * 0.7 / 400)
    assert sum(map(len, drawn)) / 400 == pytest.approx(mean, abs=wide * math.sqrt(len(ROWS)))
    assert len({len(some) for some in drawn}) > 5, "the number of rows of a step must not be fixed"
    for row in (1, 9, 18):
        assert sum(row in some for some in drawn) / 400 == pytest.approx(0.3, abs=wide)
    both = sum({3, 4} <= some for some in drawn) / 400
    assert both == pytest.approx(0.09, abs=4 * math.sqrt(0.09 * 0.91 / 400)), "rows are drawn together"


SECRETS = [Example([first, (7 * first + 3) % WORDS], [False, True], first) for first in range(2, 12)]


def exposure(multiplier: float, clip: float, folder: Path) -> float:
    """-> bits: the mean over planted pairs of log2 |R| - log2 rank, behind a training of rows and secrets."""
    rows = [*ROWS, *SECRETS]
    model = Tiny(0.0)
    stream = drawn_steps(FEED, rows, keyed=KEYED, share=0.5)
    config = CONFIG.model_copy(update={"learning_rate": 0.03, "evaluate_every": 1000})
    train(folder, model, objective=next_token, stream=stream, config=config, steps=60,
          noise=Noise(clip, multiplier, 14, KEYED), evaluate=lambda network: {"loss": random.random()})  # fmt: skip
    model.eval()
    bits = []
    with torch.no_grad():
        for secret in SECRETS:
            scores = model(pack([secret]))[0]
            bits.append(math.log2(WORDS) - math.log2(1 + int((scores > scores[secret.tokens[1]]).sum())))
    return sum(bits) / len(bits)


def test_secrets_are_exposed_without_noise_and_not_with_it(tmp_path: Path) -> None:
    told, kept = exposure(0.0, FREE, tmp_path / "plain"), exposure(10.0, 0.5, tmp_path / "private")
    assert told > 3.5, "nothing was learned that could be hidden"
    assert kept < 2.5 and isinstance(make(noise()), PrivateStepper)
