"""Noise on pictures: a pure function of its key, spread over the levels, weighted as the papers say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from tunesmith.core.errors import UserError
from tunesmith.core.latents import Prompts
from tunesmith.models.diffusion.noise import Flow, noise_of
from tunesmith.streams.latents import Latent, Noising, generator_of, in_passes, judged, levels, noised

STEPS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def _latent(caption: str = "a cat", row: int = 1, shape: tuple[int, ...] = (4, 8, 8)) -> Latent:
    draw = torch.Generator().manual_seed(row)
    mean, deviation = torch.randn(2, *shape, generator=draw)
    return Latent(mean, deviation.abs(), caption, None, (16, 16, 0, 0, 16, 16), row, f"key{row}")


def _told(texts):
    return Prompts({}, torch.tensor([[[float(len(text))]] for text in texts]))


@given(some.integers(0, 2**31), some.integers(0, 10_000), some.integers(1, 64))
@settings(max_examples=50, deadline=None)
def test_the_levels_of_a_step_are_spread_evenly(seed, step, count):
    found = levels(seed, step, count)
    assert sorted((found * count).long().tolist()) == list(range(count))
    assert torch.equal(found, levels(seed, step, count))


def test_the_same_key_gives_the_same_noise_and_another_one_another():
    noising = Noising(noise_of(STEPS, flow=False), 0)
    one, same = (noised(_latent(), _told, noising, torch.tensor(0.5), generator_of("a", 1)) for _ in range(2))
    other = noised(_latent(), _told, noising, torch.tensor(0.5), generator_of("a", 2))
    assert torch.equal(one.noisy, same.noisy) and not torch.equal(one.noisy, other.noisy)


def test_a_latent_brings_its_own_caption():
    noising = Noising(noise_of(STEPS, flow=False), 0)
    captions = ["a cat", "two dogs", "a very long caption"]
    made = [
        noised(_latent(text, row), _told, noising, torch.tensor(0.1), generator_of(row))
        for row, text in enumerate(captions)
    ]
    (batch,) = in_passes(made, None)
    assert batch.prompts.context.flatten().tolist() == [len(text) for text in captions]
    assert batch.rows == (0, 1, 2)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_schedule_is_the_one_of_diffusers(kind):
    from diffusers import DDPMScheduler

    for zero in (False, True) if kind == "v_prediction" else (False,):
        config = {**STEPS, "prediction_type": kind, "rescale_betas_zero_snr": zero}
        theirs, ours = DDPMScheduler(**config), noise_of(config, flow=False)
        draw = torch.Generator().manual_seed(0)
        pictures, noise = torch.randn(2, 5, 4, 8, 8, generator=draw)
        times, close = torch.tensor([0, 1, 500, 998, 999]), 1e-3 if zero else 5e-6  # theirs are float32
        assert torch.allclose(ours.mixed(pictures, noise, times), theirs.add_noise(pictures, noise, times), atol=close)
        if kind == "v_prediction":
            wanted = theirs.get_velocity(pictures, noise, times)
            assert torch.allclose(ours.targets(pictures, noise, times), wanted, atol=close)
        back = ours.without_noise(ours.mixed(pictures, noise, times), ours.targets(pictures, noise, times), times)
        assert torch.allclose(back[:3], pictures[:3], atol=1e-4)


def test_min_snr_is_that_of_the_paper():
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    times = torch.tensor([1, 100, 500, 900])
    snr = compute_snr(DDPMScheduler(**STEPS), times)
    for kind, wanted in (("epsilon", snr.clamp(max=5) / snr), ("v_prediction", (snr + 1).clamp(max=5) / (snr + 1))):
        noising = Noising(noise_of({**STEPS, "prediction_type": kind}, flow=False), 0, "min-snr", 5.0)
        assert torch.allclose(noising.weights(times), wanted, rtol=1e-4)


def test_a_flow_goes_straight_from_the_picture_to_the_noise():
    flow, draw = Flow(3.0), torch.Generator().manual_seed(0)
    pictures, noise = torch.randn(2, 3, 4, 2, 2, generator=draw)
    times = flow.times(torch.tensor([0.0, 0.5, 0.999]), 4)
    assert times.tolist() == pytest.approx([1, 750, 999.67], rel=1e-3)
    mixed = flow.mixed(pictures, noise, times)
    assert torch.allclose(
        mixed - times[:, None, None, None] / 1000 * flow.targets(pictures, noise, times), pictures, atol=1e-5
    )


def test_shifts_are_those_of_diffusers():
    """By one number (SD 3) and by the size of the picture (FLUX), where the number is not read."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    levels = torch.linspace(0.05, 0.95, 7)
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(sigmas=levels.tolist())
    ours = noise_of({"shift": 3.0}, flow=True)
    assert torch.allclose(ours.times(levels, 64) / 1000, theirs.sigmas[:-1], atol=1e-6)
    config = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    by_size = FlowMatchEulerDiscreteScheduler(**config)
    for tokens, mu in ((256, 0.5), (4096, 1.15), (2176, 0.825)):
        by_size.set_timesteps(sigmas=levels.tolist(), mu=mu)
        found = noise_of(config, flow=True).times(levels, 4 * tokens) / 1000
        assert torch.allclose(found, by_size.sigmas[:-1], atol=1e-6)
    assert noise_of(config, flow=True, shift=2.0).times(torch.tensor([0.5]), 9).item() == pytest.approx(1000 * 2 / 3)
    with pytest.raises(UserError, match="only flows"):
        noise_of(STEPS, flow=False, shift=2.0)


def test_the_logit_normal_draw_is_that_of_the_paper():
    """Against the formula, in its quantiles, and with the mean and deviation of the logits that it names."""
    noising, even = Noising(Flow(), 0, draw="logit-normal"), (torch.arange(4000) + 0.5) / 4000
    found = noising.placed(even)
    logits = torch.logit(found.double())
    assert abs(float(logits.mean())) < 1e-3 and float(logits.std()) == pytest.approx(1, abs=2e-3)
    drawn = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).sigmoid()
    wanted = drawn.quantile(torch.tensor([0.1, 0.5, 0.9]))
    assert torch.allclose(found.quantile(torch.tensor([0.1, 0.5, 0.9])), wanted, atol=0.01)
    assert noising.placed(torch.tensor([0.0, 1.0])).isfinite().all()
    assert torch.equal(Noising(Flow(), 0).placed(even), even)
    batch = noised(_latent(), _told, noising, torch.tensor(0.1), generator_of(1))
    assert float(batch.times) == pytest.approx(1000 * float(noising.placed(torch.tensor(0.1))))


def test_the_last_step_is_pure_noise_when_it_is_asked_for():
    config = {**STEPS, "prediction_type": "v_prediction"}
    last = torch.tensor([999])
    assert float(noise_of(config, flow=False).snr(last)) > 1e-3
    assert float(noise_of(config, flow=False, zero_terminal_snr=True).snr(last)) == 0


def test_an_offset_is_the_same_at_all_places_of_a_channel():
    like, count = torch.zeros(4, 32, 32), 200
    means = {
        offset: torch.stack([Noising(Flow(), 0, offset=offset).noise(like, generator_of(n)) for n in range(count)])
        for offset in (0.0, 0.5)
    }
    spread = {offset: float(found.mean((2, 3)).std()) for offset, found in means.items()}
    assert spread[0.0] == pytest.approx(1 / 32, rel=0.1)  # of a mean over 32 x 32 places
    assert spread[0.5] == pytest.approx((0.25 + 1 / 1024) ** 0.5, rel=0.1)


def test_debiased_weights_are_those_of_the_paper():
    times = torch.tensor([50, 500, 900])
    for kind in ("epsilon", "v_prediction"):
        schedule = noise_of({**STEPS, "prediction_type": kind}, flow=False)
        snr, found = schedule.snr(times), Noising(schedule, 0, "debiased").weights(times)
        assert torch.allclose(found, snr**-0.5 if kind == "epsilon" else 1 / (snr + 1))


def test_what_is_judged_never_changes_and_has_every_level():
    noising = Noising(noise_of(STEPS, flow=False), 3, "min-snr", 5.0, 0.1)
    first, again = (judged(_latent(), _told, noising, 8) for _ in range(2))
    assert [int(batch.times) for batch in first] == [62, 187, 312, 437, 562, 687, 812, 937]
    assert all(torch.equal(a.noisy, b.noisy) and float(a.weights) == 1 for a, b in zip(first, again, strict=True))


def test_pictures_of_one_shape_pass_together_and_no_more_than_fit():
    noising = Noising(noise_of(STEPS, flow=False), 0)
    shapes = [(4, 8, 8), (4, 4, 16), (4, 8, 8), (4, 8, 8)]
    made = [
        noised(_latent(row=row, shape=shape), _told, noising, torch.tensor(0.2), generator_of(row))
        for row, shape in enumerate(shapes)
    ]
    assert sorted(batch.rows for batch in in_passes(made, 128)) == [(0, 2), (1,), (3,)]
    assert sum(batch.units for batch in in_passes(made, 128)) == 4
