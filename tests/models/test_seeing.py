"""Encoders from folders: CLIP and DINO of transformers give the numbers that their own classes give."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from tests.painters import tiny_words
from tunesmith.core.errors import UserError
from tunesmith.models.seeing import from_folder

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    words = tiny_words()
    text = SMALL | {"vocab_size": 514, "max_position_embeddings": 16, "eos_token_id": 513, "bos_token_id": 512}
    config = CLIPConfig(text_config=text, vision_config=SMALL | {"image_size": 16, "patch_size": 8}, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    numbers = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers))
    return folder


@torch.no_grad()
def test_clip_sees_and_reads(clip):
    encoder, plain = from_folder(clip), CLIPModel.from_pretrained(clip).eval()
    x = (torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    ids = tiny_words()(["a cat", "a dog, small"], padding=True, return_tensors="pt")
    said = plain(pixel_values=x, **ids)
    assert encoder.name == "clip" and encoder.reads
    np.testing.assert_allclose(encoder(PICTURES), F.normalize(said.image_embeds, dim=-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.texts(["a cat", "a dog, small"]), said.text_embeds.numpy(), atol=1e-5)


@torch.no_grad()
def test_dino_gives_the_vector_of_its_first_token(tmp_path):
    model = ViTModel(ViTConfig(**SMALL, image_size=16, patch_size=8), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    encoder = from_folder(tmp_path)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float() / 255 - mean) / deviation
    wanted = F.normalize(model(pixel_values=x).last_hidden_state[:, 0], dim=-1)
    np.testing.assert_allclose(encoder(PICTURES), wanted.numpy(), atol=1e-5)
    assert encoder.name == "dino" and not encoder.reads


def test_what_is_no_encoder_is_named(tmp_path, tiny_folder):
    with pytest.raises(UserError, match=r"no config.json; name a folder of CLIP or DINO"):
        from_folder(tmp_path)
    with pytest.raises(UserError, match="kind `llama`"):
        from_folder(tiny_folder("llama"))
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UserError, match="no safetensors weights"):
        from_folder(tmp_path)
