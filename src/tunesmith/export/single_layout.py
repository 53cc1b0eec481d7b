"""Checkpoints in one file, as their authors and ComfyUI lay them out: which part lies below which prefix.

model.diffusion_model.            the denoiser (FLUX's authors: without a prefix)
first_stage_model. or vae.        the autoencoder
cond_stage_model. conditioner. text_encoders.     the encoders of texts, by family
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.core.errors import UserError
from tunesmith.export.seats import Seats, of_autoencoder, of_clip, of_open_clip, of_t5, of_unet
from tunesmith.export.transformer_names import of_flux, of_sd3

Family = Literal["sd1", "sd2", "sdxl", "sd3", "flux"]
EMBEDDED = "tunesmith.folder"
"""The key of the header below which our files keep what of a folder is no weight: configurations and tokenizers."""
V_PREDICTION, ZERO_SNR = "v_pred", "ztsnr"
"""Empty tensors by whose names A1111's kin and ComfyUI know how an SDXL was trained."""


@dataclass(frozen=True, slots=True)
class Laid:
    """A part of a file."""

    prefixes: tuple[str, ...]  # the first is written, all are read
    seats: Callable[[Mapping[str, Any]], Seats]  # from the configuration of the part


def _always(seats: Seats) -> Callable[[Mapping[str, Any]], Seats]:
    return lambda config: seats


_DENOISER = "model.diffusion_model."
_FIRST_STAGE = ("first_stage_model.", "vae.")
_CLIP_L, _CLIP_G, _T5 = (f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl"))
LAYOUTS: Mapping[Family, Mapping[str, Laid]] = {
    "sd1": {
        "unet": Laid((_DENOISER,), of_unet),
        "vae": Laid(_FIRST_STAGE, of_autoencoder),
        "text_encoder": Laid(("cond_stage_model.transformer.",), _always(of_clip)),
    },
    "sd2": {
        "unet": Laid((_DENOISER,), of_unet),
        "vae": Laid(_FIRST_STAGE, of_autoencoder),
        "text_encoder": Laid(("cond_stage_model.model.",), _always(of_open_clip)),
    },
    "sdxl": {
        "unet": Laid((_DENOISER,), of_unet),
        "vae": Laid(_FIRST_STAGE, of_autoencoder),
        "text_encoder": Laid(("conditioner.embedders.0.transformer.",), _always(of_clip)),
        "text_encoder_2": Laid(("conditioner.embedders.1.model.",), _always(of_open_clip)),
    },
    "sd3": {
        "transformer": Laid((_DENOISER, ""), of_sd3),
        "vae": Laid(_FIRST_STAGE, of_autoencoder),
        "text_encoder": Laid((_CLIP_L,), _always(of_clip)),
        "text_encoder_2": Laid((_CLIP_G,), _always(of_clip)),
        "text_encoder_3": Laid((_T5,), _always(of_t5)),
    },
    "flux": {
        "transformer": Laid((_DENOISER, ""), _always(of_flux)),
        "vae": Laid(_FIRST_STAGE[::-1], of_autoencoder),
        "text_encoder": Laid((_CLIP_L,), _always(of_clip)),
        "text_encoder_2": Laid((_T5,), _always(of_t5)),
    },
}
DENOISERS = ("unet", "transformer")
_STRANGERS = (
    ("distilled_guidance_layer.", "Chroma"),
    ("single_stream_modulation.", "FLUX.2"),
    ("conditioner.embedders.0.model.", "SDXL's refiner"),
    ("edm_mean", "Playground v2.5"),
    ("control_model.", "a ControlNet"),
    ("lora_", "an adapter"),
    ("model.layers.", "a text model"),
    ("transformer.h.", "a text model"),
    ("down_blocks.", "one part of a folder of diffusers"),
    ("transformer_blocks.", "one part of a folder of diffusers"),
    ("encoder.down.", "an autoencoder alone"),
)


def family_of_names(path: object, names: Mapping[str, object]) -> Family:
    """-> the family of the checkpoint with tensors of these names. UserError for another, which is named if known."""
    stranger = next((what for mark, what in _STRANGERS if any(_starts(name, mark) for name in names)), None)
    for family, mark in _MARKS:
        if stranger is None and any(_starts(name, mark) for name in names):
            return family
    what = f"this is {stranger}" if stranger else "its tensors are those of no family that is known"
    raise UserError(f"{path}: {what}; a base in one file is a whole Stable Diffusion 1, 2, XL or 3, or FLUX, in the "
                    "layout of its authors")  # fmt: skip


_MARKS: tuple[tuple[Family, str], ...] = (
    ("flux", "double_blocks.0.img_attn.qkv."),
    ("sd3", "joint_blocks.0.x_block.attn.qkv."),
    ("sdxl", "conditioner.embedders.1.model.ln_final."),
    ("sd2", "cond_stage_model.model.ln_final."),
    ("sd1", "cond_stage_model.transformer."),
)


def _starts(name: str, mark: str) -> bool:
    return name.removeprefix(_DENOISER).startswith(mark)
