"""What went wrong for the users of other trainers of image models, and the test here that would find it.

diffusers
    a latent is paired with another picture's caption
        streams/test_latents.py::test_a_latent_brings_its_own_caption
        pictures/test_view.py::test_no_picture_meets_the_caption_of_another
    class pictures get the prompt of the subject
        studio/test_known_failures.py::test_the_class_is_told_its_own_prompt
    alpha is not stored (E2, E3)
        export/test_diffusion_adapter.py::test_others_read_ours
        export/test_diffusion_adapter.py::test_strengths_that_only_tensors_hold
    files that A1111 and ComfyUI do not know (E4, E7)
        export/test_kohya.py::test_every_layer_of_a_file_made_by_hand
        export/test_kohya.py::test_text_encoders_have_their_old_name
        export/test_kohya_fused.py::test_there_and_back
    names of several ways in one file (E1, E5)
        export/test_diffusion_adapter.py::test_we_read_the_scripts_names
    names that its own converter leaves half turned (E6)
        studio/test_known_failures.py::test_half_turned_names_are_read
    whole text encoders without their old names (E8)
        studio/test_known_failures.py::test_a_whole_text_encoder_has_its_old_names
    several adapters at once (E9)
        export/test_diffusion_adapter.py::test_several_adapters_at_once
    no shapes but the square
        pictures/test_buckets.py::test_a_picture_gets_the_shape_that_keeps_most_of_it
    no validation, or at one noise level (OneTrainer)
        streams/test_latents.py::test_what_is_judged_never_changes_and_has_every_level
    adapters in bfloat16 lose small updates
        train/test_optimizer.py::test_small_updates_of_bfloat16_are_not_lost
    going on replays or skips
        studio/test_runs.py::test_what_was_interrupted_goes_on_to_the_same_bytes
kohya's scripts
    steps are counted wrongly on the second resumption
        studio/test_runs.py::test_what_was_interrupted_goes_on_to_the_same_bytes
    half precision asks for a GPU
        models/test_precision.py::test_bfloat16_must_be_worth_it
    an adapter without effect
        export/test_diffusion_adapter.py::test_an_untrained_adapter_is_not_written
    not-a-number is trained on
        train/test_step.py::test_one_gradient_that_is_not_a_number_changes_nothing
    cached prompts forbid dropout and shuffling
        studio/test_runs.py::test_what_was_interrupted_goes_on_to_the_same_bytes
        pictures/test_view.py::test_the_first_tags_stay_when_the_others_move
SimpleTuner
    "no images were discovered"
        pictures/test_prepare.py::test_folders_that_cannot_be
    sets smaller than a bucket
        pictures/test_prepare.py::test_too_few_pictures_are_all_learned
ai-toolkit, musubi, Draw Things
    going on begins at the last save
        train/test_loop.py::test_a_resumed_run_is_the_same_to_the_byte
    every B is zero
        export/test_diffusion_adapter.py::test_an_untrained_adapter_is_not_written
    keys that are not loaded, silently
        export/test_kohya.py::test_what_is_not_read_is_named
    what is saved is not what was trained
        studio/test_runs.py::test_a_run_ends_with_its_proof
Unsloth
    alpha that is not the rank, without a header (E2)
        export/test_diffusion_adapter.py::test_others_read_ours

Cannot occur: backups that are no adapters (OneTrainer; a stopped run goes on, a finished one has its adapter), the
configuration of many back-ends (SimpleTuner; there is one recipe), previews without other adapters (OneTrainer; one is
trained).
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.core.latents import Prompts
from tunesmith.export.diffusion_adapter import read_adapter_pictures
from tunesmith.export.diffusion_plain import write_pipeline
from tunesmith.models.diffusion.noise import Flow
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.pictures.prepare import Picture
from tunesmith.streams.latents import Latent
from tunesmith.studio.feed import PictureFeed

pytestmark = pytest.mark.filterwarnings("ignore")
TESTS = Path(__file__).parents[1]
SUBJECT, CLASS = "a zwx cat", "a cat"


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"(\w+/\w+\.py)::(\w+)", __doc__ or "")
    assert len(named) > 25
    assert [one for one in named if f"def {one[1]}(" not in (TESTS / one[0]).read_text()] == []


class Told:
    """A stand-in for the encoders: what is told of a prompt is its length."""

    def __call__(self, texts: Any) -> Prompts:
        return Prompts({}, torch.tensor([[[float(len(text))]] for text in texts]))


@pytest.mark.parametrize("prior", ["images", "prediction"])
def test_the_class_is_told_its_own_prompt(prior: Any) -> None:
    """With prior preservation SD 3's script of diffusers tells the class what the subject is called."""
    objective = DreamBooth(prompt=SUBJECT, class_prompt=CLASS, prior=prior)
    recipe = SimpleNamespace(
        train=SimpleNamespace(seed=0, tokens_per_pass=None),
        pictures=SimpleNamespace(caption_dropout=0.0),
        method=SimpleNamespace(bare=False),
    )
    opened: Any = SimpleNamespace(objective=objective, recipe=recipe, noise=Flow(), own_noise=Flow(),
                                  timesteps="uniform", device=torch.device("cpu"))  # fmt: skip

    def latent(picture: Any, _: int) -> Latent:
        return Latent(torch.zeros(4, 2, 2), torch.ones(4, 2, 2), SUBJECT, None, (2,) * 6, picture.row, picture.sha256)

    class Base:
        def __enter__(self) -> Any:
            return lambda batch: torch.zeros_like(batch.targets)

        def __exit__(self, *_: object) -> None: ...

    pictures: Any = [SimpleNamespace(row=n, sha256=str(n)) for n in range(2)]
    of_class: list[Picture] = pictures if prior == "images" else []
    store: Any = SimpleNamespace(latent=latent)
    teller: Any = Told()
    (batch,) = PictureFeed(opened, store, teller, 1, Base, of_class)(pictures, 0)  # type: ignore[arg-type]
    context = batch.prompts.context
    assert context is not None
    said = dict(zip(batch.counted, context.flatten().tolist(), strict=True))
    assert said == {True: len(SUBJECT), False: len(CLASS)} and sum(batch.counted) == 2 and len(batch.counted) == 4


def test_half_turned_names_are_read(tmp_path: Path) -> None:
    """Its scripts' names of UNet and text encoder through its own converters: it cannot load what they make, we can."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_all_state_dict_to_peft, convert_state_dict_to_kohya

    unet = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k"
    text = "text_model.encoder.layers.0.self_attn.q_proj"
    scripts = {f"unet.{unet}.lora.{end}.weight": torch.randn(4, 4) for end in ("down", "up")}
    scripts |= {f"text_encoder.{text}.lora_linear_layer.{end}.weight": torch.randn(4, 4) for end in ("down", "up")}
    file = convert_state_dict_to_kohya(convert_all_state_dict_to_peft(dict(scripts)))
    assert any(name.endswith("to_k_lora.down.weight") for name in file)
    save_file({name: tensor.float() for name, tensor in file.items()}, tmp_path / "a.safetensors")
    with pytest.raises(Exception, match=r".+"):
        StableDiffusionPipeline.lora_state_dict(str(tmp_path), weight_name="a.safetensors")
    parts, _ = read_adapter_pictures(tmp_path / "a.safetensors")
    assert torch.equal(parts["unet"][f"{unet}.lora_A.weight"], scripts[f"unet.{unet}.lora.down.weight"])
    found = parts["text_encoder"][f"{text}.lora_B.weight"]
    assert torch.equal(found, scripts[f"text_encoder.{text}.lora_linear_layer.up.weight"])


def test_a_whole_text_encoder_has_its_old_names(tmp_path: Path) -> None:
    """transformers writes CLIP without `text_model`, and converters then make keys that A1111 does not know."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                            num_attention_heads=1, max_position_embeddings=4)  # fmt: skip
    encoder, base = CLIPTextModel(config), tmp_path / "base"
    (base / "text_encoder").mkdir(parents=True)
    (base / "model_index.json").write_text("{}")
    write_pipeline(tmp_path / "new", base, {"text_encoder": encoder})
    names = load_file(tmp_path / "new" / "text_encoder" / "model.safetensors")
    assert names and all(name.startswith("text_model.") for name in names)
    again = CLIPTextModel.from_pretrained(tmp_path / "new" / "text_encoder")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in encoder.state_dict().items())
