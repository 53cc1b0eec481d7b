"""kohya's and LyCORIS's files: made here from the description of the format, read by us and by diffusers."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.export.pictures import PARTS, attached, far, outputs, pipeline, read_by_diffusers, read_by_us
from tunesmith.core.errors import UserError
from tunesmith.export.diffusion_adapter import read_adapter_pictures, write_adapter_pictures
from tunesmith.export.kohya import kohya_tensors
from tunesmith.export.kohya_read import read_kohya
from tunesmith.export.picture_names import dotted, flat, from_compvis, legacy, to_compvis
from tunesmith.methods.loha import LoHa
from tunesmith.methods.lokr import LoKr

pytestmark = pytest.mark.filterwarnings("ignore")
EXACT = 1e-4
DRAW = torch.Generator().manual_seed(4)


def noise(*shape: int) -> Tensor:
    return 0.2 * torch.randn(shape, generator=DRAW)


def adapted(network: nn.Module) -> dict[str, nn.Module]:
    return {n: m for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and "text_proj" not in n}


def by_hand(family: str, path: Path, rank: int = 3, alpha: float = 2.0) -> Any:
    """Write a file of every layer and add the same to the weights. -> the changed pipeline."""
    made, tensors = pipeline(family), {}
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_" if family == "sd1" else "lora_te1_"}
    for part in PARTS[family]:
        for name, layer in adapted(getattr(made, part)).items():
            weight = layer.weight.data
            down = noise(rank, *weight.shape[1:])
            up = noise(weight.shape[0], rank, *[1] * (weight.ndim - 2))
            weight += alpha / rank * (up.flatten(1) @ down.flatten(1)).view_as(weight)
            whole = name.removeprefix("text_model.")
            whole = whole if part == "unet" else "text_model." + whole
            whole = whole.replace("add_embedding.linear_1", "label_emb_0_0")
            whole = whole.replace("add_embedding.linear_2", "label_emb_0_2")
            key = prefixes.get(part, "lora_te2_") + whole.replace(".", "_")
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up,
                        f"{key}.alpha": torch.tensor(alpha)}  # fmt: skip
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
    return made


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_every_layer_of_a_file_made_by_hand(family: str, tmp_path: Path) -> None:
    """E4: attention, feed-forward, projections, convolutions, times and text encoders."""
    file = tmp_path / "a.safetensors"
    whole = outputs(family, by_hand(family, file))
    assert max(far(outputs(family, read_by_us(family, file)), whole).values()) < EXACT
    assert max(far(outputs(family, read_by_diffusers(family, file)), whole).values()) < EXACT


@pytest.mark.parametrize("method", [LoHa(rank=2, alpha=3), LoKr(rank=2, alpha=3), LoKr(rank=16, alpha=3, factor=4)])
def test_products_are_lycoris_own(method: Any, tmp_path: Path) -> None:
    """The weights that LyCORIS's formulas give, computed here, are those of our layers."""
    made, stored, described = attached("sd1", {"unet": method})
    (_, file) = write_adapter_pictures(
        tmp_path / "a", stored, described, base_name="b", base_fingerprint=None, family="sd1"
    )
    again = read_by_us("sd1", file)
    assert max(far(outputs("sd1", again), outputs("sd1", made)).values()) < EXACT
    tensors = kohya_tensors(stored, described, family="sd1")
    plain = pipeline("sd1")
    for name, layer in adapted(plain.unet).items():
        key = f"lora_unet_{name.replace('.', '_')}."
        own = {n.removeprefix(key): t for n, t in tensors.items() if n.startswith(key)}
        if own:
            layer.weight.data += lycoris(own)
    assert max(far(outputs("sd1", plain), outputs("sd1", made)).values()) < EXACT


def lycoris(own: dict[str, Tensor]) -> Tensor:
    alpha = own["alpha"].item()
    if "hada_w1_a" in own:
        scale = alpha / own["hada_w1_b"].shape[0]
        return scale * (own["hada_w1_a"] @ own["hada_w1_b"]) * (own["hada_w2_a"] @ own["hada_w2_b"])
    whole = "lokr_w1" in own and "lokr_w2" in own
    second = own["lokr_w2"] if whole else own["lokr_w2_a"] @ own["lokr_w2_b"]
    return torch.kron(own["lokr_w1"], second) * (1 if whole else alpha / own["lokr_w2_b"].shape[0])


def test_a_tucker_convolution_is_one_convolution() -> None:
    down, mid, up = noise(3, 5, 1, 1), noise(3, 3, 3, 3), noise(7, 3, 1, 1)
    key = "lora_unet_down_blocks_0_resnets_0_conv1"
    file = {f"{key}.lora_down.weight": down, f"{key}.lora_mid.weight": mid, f"{key}.lora_up.weight": up}
    parts, described = read_kohya(Path("x"), file)
    found = parts["unet"]["down_blocks.0.resnets.0.conv1.lora_A.weight"]
    x = noise(1, 5, 6, 6)
    assert torch.allclose(nn.functional.conv2d(x, found), nn.functional.conv2d(nn.functional.conv2d(x, down), mid))
    assert described["unet"]["lora_alpha"] == 3, "without alpha the strength is one"


def test_text_encoders_have_their_old_name() -> None:
    """E7: A1111 and ComfyUI know `text_model_` alone."""
    layer = "encoder.layers.0.self_attn.q_proj"
    tensors = {f"{layer}.lora_A.weight": noise(2, 4), f"{layer}.lora_B.weight": noise(4, 2)}
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    names = kohya_tensors({"text_encoder": tensors}, {"text_encoder": config}, family="sd1")
    assert all(name.startswith("lora_te_text_model_encoder_layers_0_self_attn_q_proj.") for name in names)
    numbered = kohya_tensors({"text_encoder": tensors}, {"text_encoder": config}, family="sdxl")
    assert all(name.startswith("lora_te1_text_model_") for name in numbered)


def test_strength_of_the_stabilised_rank() -> None:
    tensors = {"conv_in.lora_A.weight": noise(4, 4, 3, 3), "conv_in.lora_B.weight": noise(8, 4, 1, 1)}
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "use_rslora": True}
    found = kohya_tensors({"unet": tensors}, {"unet": config}, family="sd1")
    assert math.isclose(found["lora_unet_conv_in.alpha"].item() / 4, 6 / math.sqrt(4))


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_every_name_comes_back(family: str) -> None:
    made = pipeline(family)
    for part in PARTS[family]:
        for name in adapted(getattr(made, part)):
            assert dotted(flat(legacy(part, name))) == legacy(part, name)


@given(st.integers(1, 3), st.sampled_from(["down_blocks", "up_blocks"]), st.integers(0, 3), st.data())
def test_block_numbers_come_back(layers: int, side: str, block: int, data: Any) -> None:
    kind = data.draw(st.sampled_from(["resnets", "attentions"]))
    number = data.draw(st.integers(0, layers - (side == "down_blocks")))
    inside = {"resnets": ["conv1", "conv2", "conv_shortcut", "time_emb_proj"], "attentions": ["proj_in"]}[kind]
    name = f"{side}.{block}.{kind}.{number}.{data.draw(st.sampled_from(inside))}"
    whole = to_compvis(name, layers, frozenset({f"up_blocks.{block}"}))
    assert whole is not None
    assert from_compvis(whole, layers) == name


def test_compvis_numbers_of_sdxl() -> None:
    assert from_compvis("input_blocks.4.1.transformer_blocks.1.attn1.to_q") == (
        "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q"
    )
    assert from_compvis("input_blocks.3.0.op") == "down_blocks.0.downsamplers.0.conv"
    assert from_compvis("output_blocks.2.2.conv") == "up_blocks.0.upsamplers.0.conv"
    assert from_compvis("middle_block.1.proj_in") == "mid_block.attentions.0.proj_in"


BAD = {
    "lora_unet_a.diff": "changes of whole weights",
    "lora_unet_a.oft_blocks": "OFT",
    "lora_unet_a.lora_down.weight": "no whole layer",
    "bundle_emb.cat.string_to_param.*": "learned word",
    "other_a.lora_down.weight": "no layer of kohya's format",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_read_is_named(name: str, tmp_path: Path) -> None:
    layer = "lora_unet_conv_in"
    good = {f"{layer}.lora_down.weight": noise(2, 4), f"{layer}.lora_up.weight": noise(4, 2)}
    save_file(good | {name: noise(2, 2)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=BAD[name]) as error:
        read_adapter_pictures(tmp_path / "a.safetensors")
    assert "a.safetensors" in str(error.value)


@pytest.mark.parametrize(("scale", "words"), [((1, 4), "for each input"), ((6, 2), "for each input"), ((7,), "7")])
def test_magnitudes_of_another_kind(scale: tuple[int, ...], words: str) -> None:
    file = {"lora_unet_x.lora_down.weight": noise(2, 4), "lora_unet_x.lora_up.weight": noise(5, 2)}
    with pytest.raises(UserError, match=words):
        read_kohya(Path("x"), file | {"lora_unet_x.dora_scale": noise(*scale)})
