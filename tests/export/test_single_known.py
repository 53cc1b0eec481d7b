"""The published models: their sizes, and the names of every one of their tensors, against diffusers' converters.

The parameter counts are those of the published weights, which are not here: a wrong width or depth changes them.
"""

from typing import Any

import pytest
import torch

from tunesmith.export.seats import turned
from tunesmith.export.single_known import known
from tunesmith.export.single_layout import LAYOUTS, V_PREDICTION, ZERO_SNR
from tunesmith.export.single_read import _config, _empty

SIZES = {
    ("sd1", "unet"): 859_520_964,
    ("sd1", "vae"): 83_653_863,
    ("sd1", "text_encoder"): 123_060_480,
    ("sd2", "unet"): 865_910_724,
    ("sd2", "text_encoder"): 340_387_840,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "text_encoder_2"): 694_659_840,
    ("flux", "transformer"): 11_901_408_320,
    ("flux", "text_encoder_2"): 4_762_310_656,
}
PREFIX = "model.diffusion_model."
_DEV = {"img_in.weight": (3072, 64), "txt_in.weight": (3072, 4096), "vector_in.in_layer.weight": (3072, 768),
        "guidance_in.in_layer.weight": (3072, 256), "double_blocks.18.x": (1,), "single_blocks.37.x": (1,)}  # fmt: skip
_MEDIUM = {"x_embedder.proj.weight": (1536, 16, 2, 2), "pos_embed": (1, 192 * 192, 1536),
           "context_embedder.weight": (1536, 4096), "y_embedder.mlp.0.weight": (1536, 2048),
           "joint_blocks.23.x": (1,), "joint_blocks.0.x_block.attn.ln_q.weight": (64,),
           "joint_blocks.3.x_block.attn2.qkv.weight": (1,)}  # fmt: skip
SHAPES: dict[str, Any] = {"flux": _DEV, "sd3": {PREFIX + name: shape for name, shape in _MEDIUM.items()}}


def network(family: Any, part: str) -> Any:
    files = known(family, SHAPES.get(family, {}), False)
    return _empty("x", *files["model_index.json"][part], files[f"{part}/config.json"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("family", "part"), SIZES)
def test_sizes_are_the_published_ones(family: str, part: str) -> None:
    assert sum(p.numel() for p in network(family, part).parameters()) == SIZES[family, part]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3", "flux"])
def test_every_name_is_one_that_diffusers_converts(family: Any) -> None:
    from diffusers.loaders import single_file_utils as theirs

    part = "unet" if family.startswith("sd") and family != "sd3" else "transformer"
    made = network(family, part)
    seats = LAYOUTS[family][part].seats(_config(made))
    placed: dict[str, dict[int, Any]] = {}
    for name, tensor in made.state_dict().items():
        seat = seats(name)
        assert seat is not None, name
        placed.setdefault(seat.name, {})[seat.place] = turned(tensor, seat.turn)
    file = {PREFIX + name: torch.cat([own[n] for n in sorted(own)]) for name, own in placed.items()}
    convert = {"sd3": theirs.convert_sd3_transformer_checkpoint_to_diffusers,
               "flux": theirs.convert_flux_transformer_checkpoint_to_diffusers}  # fmt: skip
    unet = part == "unet"
    found = theirs.convert_ldm_unet_checkpoint(file, dict(made.config)) if unet else convert[family](file)
    assert {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in made.state_dict().items()}


def test_what_shapes_do_not_show() -> None:
    """The kind of SD 2 is said from outside, that of SDXL by empty tensors; FLUX's distilled model has no guidance."""
    noise = "scheduler/scheduler_config.json"
    two, base = known("sd2", {}, True), known("sd2", {}, False)
    assert two[noise]["prediction_type"] == "v_prediction" and "prediction_type" not in base[noise]
    assert (two["unet/config.json"]["sample_size"], base["unet/config.json"]["sample_size"]) == (96, 64)
    told = known("sdxl", {V_PREDICTION: (0,), ZERO_SNR: (0,)}, False)[noise]
    assert told["prediction_type"] == "v_prediction" and told["rescale_betas_zero_snr"]
    schnell = {name: shape for name, shape in _DEV.items() if "guidance" not in name}
    files = known("flux", schnell, False)
    assert files[noise]["shift"] == 1.0 and not files["transformer/config.json"]["guidance_embeds"]
