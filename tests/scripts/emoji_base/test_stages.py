from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.emoji_base.composites import compose
from scripts.emoji_base.contrast import clip_stage
from scripts.emoji_base.export import NAME, export, opened
from scripts.emoji_base.judge import found
from scripts.emoji_base.latents import make_latents
from scripts.emoji_base.networks import TINY, as_pictures, autoencoder
from scripts.emoji_base.noise import unet_stage
from scripts.emoji_base.pictures import decoder_stage, draw_batch, encode, folded, vae_stage
from scripts.emoji_base.store import Store
from scripts.emoji_base.training import Losses, Plan, Stage, best
from scripts.emoji_base.words import RARE, tokens
from tests.scripts.emoji_base.toys import store
from tunesmith.core.errors import UserError

PLAN = Plan(steps=8, batch=4, rate=1e-3, warmup=2, average=0.5)


def trained(begun: tuple[Stage, Callable[[int], Losses]]) -> bool:
    stage, loss = begun
    return stage.run(loss, 600.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All stages, a few steps each, and the folder that comes out."""
    one = store(tmp_path_factory.mktemp("base"))
    for begin in (vae_stage, clip_stage):
        assert trained(begin(one, PLAN))
    make_latents(one)
    for begin in (unet_stage, decoder_stage):
        assert trained(begin(one, PLAN))
    export(one)
    return one


def test_the_folder_is_a_pipeline_of_stable_diffusion(made: Store):
    pipe = opened(made.folder / NAME)
    assert type(pipe).__name__ == "StableDiffusionPipeline" and pipe.safety_checker is None
    assert {type(part).__name__ for part in (pipe.vae, pipe.unet, pipe.text_encoder, pipe.scheduler)} == {
        "AutoencoderKL", "UNet2DConditionModel", "CLIPTextModel", "DDIMScheduler",
    }  # fmt: skip
    assert pipe.scheduler.config.prediction_type == "v_prediction" and pipe.scheduler.alphas_cumprod[-1] == 0
    drawn = pipe("a cat face", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0))
    assert drawn.images.shape == (1, 64, 64, 3) and np.isfinite(drawn.images).all()
    assert not list((made.folder / NAME).rglob("*.bin"))


def test_the_card_names_every_licence_and_every_curve(made: Store):
    card = (made.folder / NAME / "README.md").read_text(encoding="utf-8")
    for word in ("MIT", "Apache-2.0", "CC BY 4.0", "Unicode-3.0", "twemoji", "1f63a", "### unet", "seed 0"):
        assert word in card


def test_words_for_subjects_are_one_token_each(made: Store):
    tokenizer = made.tokenizer()
    ids = [tokenizer(word).input_ids for word in RARE]
    assert all(len(one) == 3 for one in ids) and len({one[1] for one in ids}) == len(RARE)
    norms = opened(made.folder / NAME).text_encoder.get_input_embeddings().weight.detach().norm(dim=1)
    assert torch.allclose(norms[[one[1] for one in ids]], norms.median(), rtol=0.02)
    assert tokenizer.unk_token_id not in tokenizer("\u2603 dog\u2019s \u00e9").input_ids[1:-1]
    assert tokens(tokenizer, ["a cat face", "x " * 99]).shape == (2, 32)


def test_folding_moves_latents_and_not_pictures(made: Store):
    plain, moved = best(made.folder / "vae", autoencoder(made.sizes)), folded(made)
    pictures = draw_batch(*made.drawings(), replace(PLAN, batch=32), 10**9)
    latents = encode(moved, pictures)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.2
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.2
    with torch.no_grad():
        before, after = plain.encode(pictures).latent_dist, moved.encode(pictures).latent_dist
        assert torch.allclose(plain.decode(before.mode()).sample, moved.decode(after.mode()).sample, atol=1e-4)
        # A draw with the same noise is the same picture: variances moved along.
        one, two = (d.sample(torch.Generator().manual_seed(1)) for d in (before, after))
        assert torch.allclose(plain.decode(one).sample, moved.decode(two).sample, atol=1e-4)


def test_a_latent_stands_beside_what_it_shows(made: Store):
    kept, slots = made.latents()
    every, drawings = made.drawings()
    rng = np.random.default_rng([made.seed, 4])
    composites = [compose(i, every, rng) for i in range(len(every)) for _ in range(12)]
    assert [one.slots for one in composites] == slots and len(kept) == len(slots)
    again = encode(folded(made), as_pictures(composites[100].draw(drawings)[None]))
    distances = np.abs(kept.astype(np.float32) - again.numpy()).mean(axis=(1, 2, 3))  # bf16: not the same to the bit
    assert distances.argmin() == 100 and distances[100] < 0.05


def test_a_stage_goes_on_where_it_stopped(made: Store, tmp_path: Path):
    """The same steps, in one piece and in two, end in the same weights: noise, captions and order follow the step."""
    longer = replace(PLAN, steps=50)
    straight, loss = unet_stage(made, longer)
    assert straight.step == 8  # what the fixture trained
    straight._point(loss)
    straight._point(loss)
    first, loss = unet_stage(made, longer)
    first._point(loss)
    first._save(0.0)
    second, loss = unet_stage(made, longer)
    assert second.step == 33
    second._point(loss)
    assert all(torch.equal(weight, second.weights[name]) for name, weight in straight.weights.items())
    assert second.curve == straight.curve


def test_latents_of_another_encoder_are_refused(tmp_path: Path):
    one = store(tmp_path)
    with pytest.raises(UserError, match="latents: missing; run --stage latents first"):
        one.latents()
    assert trained(vae_stage(one, PLAN))
    make_latents(one)
    assert trained(vae_stage(one, replace(PLAN, steps=9)))
    with pytest.raises(UserError, match="made by another encoder"):
        one.latents()


def test_nothing_is_trained_before_there_are_drawings(tmp_path: Path):
    for begin in (vae_stage, clip_stage, unet_stage):
        with pytest.raises(UserError, match="no drawings there yet; run --stage draw first"):
            begin(Store(tmp_path, TINY, seed=0), PLAN)


def test_found_counts_own_captions():
    captions = torch.eye(8)
    assert found(captions, captions) == {"top 1": 1.0, "top 5": 1.0}
    assert found(captions.roll(1, dims=0), captions)["top 1"] == 0.0
