"""Adapters of SD 3 and FLUX by their authors' names: exact both ways, and as diffusers reads them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.export.kohya import kohya_tensors
from tunesmith.export.kohya_read import read_kohya

DRAW = torch.Generator().manual_seed(4)
WIDE = 24
FLUX = {
    "transformer_blocks.3.attn.to_q": (WIDE, WIDE),
    "transformer_blocks.3.attn.to_k": (WIDE, WIDE),
    "transformer_blocks.3.attn.to_v": (WIDE, WIDE),
    "transformer_blocks.3.attn.add_k_proj": (WIDE, WIDE),
    "transformer_blocks.3.attn.to_add_out": (WIDE, WIDE),
    "transformer_blocks.3.ff_context.net.0.proj": (4 * WIDE, WIDE),
    "transformer_blocks.3.norm1.linear": (6 * WIDE, WIDE),
    "single_transformer_blocks.11.attn.to_v": (WIDE, WIDE),
    "single_transformer_blocks.11.proj_mlp": (4 * WIDE, WIDE),
    "single_transformer_blocks.11.proj_out": (WIDE, 5 * WIDE),
    "norm_out.linear": (2 * WIDE, WIDE),
    "proj_out": (8, WIDE),
    "x_embedder": (WIDE, 8),
    "time_text_embed.guidance_embedder.linear_2": (WIDE, WIDE),
}
SD3 = {
    "transformer_blocks.0.attn.to_q": (WIDE, WIDE),
    "transformer_blocks.0.attn.to_v": (WIDE, WIDE),
    "transformer_blocks.0.attn2.to_k": (WIDE, WIDE),
    "transformer_blocks.0.attn.add_q_proj": (WIDE, WIDE),
    "transformer_blocks.0.attn.to_out.0": (WIDE, WIDE),
    "transformer_blocks.0.ff.net.2": (WIDE, 4 * WIDE),
    "transformer_blocks.0.norm1.linear": (6 * WIDE, WIDE),
    "norm_out.linear": (2 * WIDE, WIDE),
    "context_embedder": (WIDE, 12),
    "time_text_embed.text_embedder.linear_1": (WIDE, 16),
}
LAYERS = {"flux": FLUX, "sd3": SD3}
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 6}


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=DRAW)


def adapter(layers: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    """Ranks from 2 to 4."""
    found = {}
    for place, (name, (outputs, inputs)) in enumerate(layers.items()):
        rank = 2 + place % 3
        found |= {f"{name}.lora_A.weight": noise(rank, inputs), f"{name}.lora_B.weight": noise(outputs, rank)}
    return found


def changes(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """-> what is added to the weight of each layer."""
    found = {}
    for key in tensors:
        if not key.endswith(".lora_A.weight"):
            continue
        name = key.removesuffix(".lora_A.weight")
        down, up = tensors[key], tensors[f"{name}.lora_B.weight"]
        alpha = (config.get("alpha_pattern") or {}).get(name, config["lora_alpha"])
        scale = alpha / (math.sqrt(len(down)) if config.get("use_rslora") else len(down))
        found[name] = scale * up.flatten(1) @ down.flatten(1)
    return found


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[name], b[name], atol=1e-5, rtol=1e-5) for name in a)


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize("family", LAYERS)
def test_there_and_back(family: str, stabilised: bool) -> None:
    """Fused layers, some of whose members are absent, with ranks and strengths that differ; rank-stabilised, too."""
    tensors, config = adapter(LAYERS[family]), CONFIG | {"use_rslora": stabilised}
    strong = next(iter(LAYERS[family]))
    config |= {"alpha_pattern": {strong: 2}}
    written = kohya_tensors({"transformer": tensors}, {"transformer": config}, family=family)
    assert all(name.startswith("lora_unet_") for name in written)
    layers = {name.partition(".")[0] for name in written}
    assert all(f"{name}.alpha" in written for name in layers)
    assert not any("to_q" in name or "transformer" in name for name in layers), "the authors' names"
    parts, read = read_kohya(Path("x"), written)
    assert equal(changes(parts["transformer"], read["transformer"]), changes(tensors, config))


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_rank_stabilised_strengths_in_every_family(family: str) -> None:
    part = "transformer" if family in LAYERS else "unet"
    name = "transformer_blocks.0.attn.to_q" if part == "transformer" else "mid_block.attentions.0.proj_in"
    tensors = {f"{name}.lora_A.weight": noise(9, 8), f"{name}.lora_B.weight": noise(8, 9)}
    config = CONFIG | {"r": 9, "use_rslora": True}
    written = kohya_tensors({part: tensors}, {part: config}, family=family)
    (alpha,) = (tensor.item() for key, tensor in written.items() if key.endswith(".alpha"))
    (down,) = (tensor for key, tensor in written.items() if key.endswith(".lora_down.weight"))
    assert alpha / len(down) == pytest.approx(6 / math.sqrt(9))
    parts, read = read_kohya(Path("x"), written)
    assert equal(changes(parts[part], read[part]), changes(tensors, config))


@pytest.mark.filterwarnings("ignore")
def test_diffusers_reads_the_same() -> None:
    """The oracle knows FLUX's own widths alone: one block of each kind at full width."""
    from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers

    wide, own = 3072, {}
    for name, (outputs, inputs) in FLUX.items():
        if name == "proj_out":  # a pattern of its alpha would mean the blocks' own, too
            continue
        first = name.replace("blocks.3", "blocks.0").replace(".11.", ".0.")
        own[first] = (outputs * wide // WIDE, inputs * wide // WIDE)
    tensors = adapter(own)
    strengths = {"norm_out.linear": len(tensors["norm_out.linear.lora_A.weight"])}
    config = CONFIG | {"alpha_pattern": strengths}  # which diffusers takes at a strength of one
    theirs = _convert_kohya_flux_lora_to_diffusers(
        kohya_tensors({"transformer": tensors}, {"transformer": config}, family="flux")
    )
    for name, (_, inputs) in own.items():
        prefix = name if name in strengths or "embed" in name else f"transformer.{name}"
        x = noise(inputs)
        rank = len(tensors[f"{name}.lora_A.weight"])
        inner = strengths.get(name, 6) / rank * tensors[f"{name}.lora_A.weight"] @ x
        wanted = tensors[f"{name}.lora_B.weight"] @ inner
        found = theirs[f"{prefix}.lora_B.weight"] @ (theirs[f"{prefix}.lora_A.weight"] @ x)
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-2), name


@pytest.mark.parametrize("dots", [False, True], ids=["kohya", "comfy"])
def test_members_that_share_a(dots: bool) -> None:
    """What kohya's scripts and ComfyUI train: one A for all three, by flat names or by dotted ones."""
    down, up = noise(4, WIDE), noise(3 * WIDE, 4)
    if dots:
        name = "diffusion_model.double_blocks.0.txt_attn.qkv"
        file = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, f"{name}.alpha": torch.tensor(2.0)}
    else:
        name = "lora_unet_double_blocks_0_txt_attn_qkv"
        file = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(2.0)}
    parts, read = read_kohya(Path("x"), file)
    found = changes(parts["transformer"], read["transformer"])
    wanted = (2 / 4 * up @ down).chunk(3)
    names = ("add_q_proj", "add_k_proj", "add_v_proj")
    assert equal(found, {f"transformer_blocks.0.attn.{n}": t for n, t in zip(names, wanted, strict=True)})


def test_magnitudes_lie_below_each_other() -> None:
    names = [f"transformer_blocks.0.attn.to_{one}" for one in "qkv"]
    tensors = adapter(dict.fromkeys(names, (WIDE, WIDE)))
    lengths = {f"{name}.lora_magnitude_vector": noise(WIDE).abs() for name in names}
    config = CONFIG | {"use_dora": True}
    written = kohya_tensors({"transformer": tensors | lengths}, {"transformer": config}, family="flux")
    scale = written["lora_unet_double_blocks_0_img_attn_qkv.dora_scale"]
    assert scale.shape == (3 * WIDE, 1)
    parts, read = read_kohya(Path("x"), written)
    assert all(torch.equal(parts["transformer"][name], tensor) for name, tensor in lengths.items())
    assert equal(changes(parts["transformer"], read["transformer"]), changes(tensors, config))
    lonely = {name: t for name, t in (tensors | lengths).items() if "to_k" not in name}
    apart = kohya_tensors({"transformer": lonely}, {"transformer": config}, family="flux")
    assert all(name.startswith("lora_transformer_transformer_blocks_0_") for name in apart)


def test_products() -> None:
    """LoHa splits by rows; a Kronecker product over three layers is none over one."""
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    own = {"hada_w1_a": noise(3 * WIDE, 2), "hada_w1_b": noise(2, WIDE), "hada_w2_a": noise(3 * WIDE, 2),
           "hada_w2_b": noise(2, WIDE)}  # fmt: skip
    parts, _ = read_kohya(Path("x"), {f"{name}.{end}": tensor for end, tensor in own.items()})
    whole = (own["hada_w1_a"] @ own["hada_w1_b"]) * (own["hada_w2_a"] @ own["hada_w2_b"])
    for one, wanted in zip("qkv", whole.chunk(3), strict=True):
        t = {end: parts["transformer"][f"transformer_blocks.0.attn.to_{one}.{end}"] for end in own}
        assert torch.equal((t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"]), wanted)
    lokr = {f"{name}.lokr_w1": noise(3, 2), f"{name}.lokr_w2": noise(WIDE, WIDE // 2)}
    with pytest.raises(UserError, match=r"Kronecker product"):
        read_kohya(Path("x"), lokr)
    one, config = {"transformer_blocks.0.attn.to_q.hada_w1_a": noise(WIDE, 2)}, {"peft_type": "LOHA", "r": 2}
    ours = kohya_tensors({"transformer": one}, {"transformer": config}, family="flux")
    assert "lora_transformer_transformer_blocks_0_attn_to_q.hada_w1_a" in ours


def test_outputs_that_cannot_be_shared() -> None:
    name = "lora_unet_joint_blocks_0_x_block_attn_qkv"
    with pytest.raises(UserError, match="25 outputs"):
        read_kohya(Path("x"), {f"{name}.lora_down.weight": noise(2, 8), f"{name}.lora_up.weight": noise(25, 2)})
