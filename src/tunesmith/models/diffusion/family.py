"""The families of image models: what each is made of, by the class that `model_index.json` names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.core.errors import UserError
from tunesmith.models.check_weights import read_json

INDEX = "model_index.json"


@dataclass(frozen=True, slots=True)
class Family:
    """What its pipelines hold."""

    name: Literal["sd", "sdxl", "sd3", "flux"]
    pipeline: str  # the class of diffusers
    denoiser: Literal["unet", "transformer"]
    encoders: tuple[str, ...]  # of texts
    flow: bool = False  # learns the way from noise to picture; else the noise, or a mixture of both

    @property
    def tokenizers(self) -> tuple[str, ...]:
        return tuple(name.replace("text_encoder", "tokenizer") for name in self.encoders)


FAMILIES: Mapping[str, Family] = {
    family.pipeline: family
    for family in (
        Family("sd", "StableDiffusionPipeline", "unet", ("text_encoder",)),
        Family("sdxl", "StableDiffusionXLPipeline", "unet", ("text_encoder", "text_encoder_2")),
        Family(
            "sd3",
            "StableDiffusion3Pipeline",
            "transformer",
            ("text_encoder", "text_encoder_2", "text_encoder_3"),
            flow=True,
        ),
        Family("flux", "FluxPipeline", "transformer", ("text_encoder", "text_encoder_2"), flow=True),
    )
}

KNOWN = {
    "diffusers": ("AutoencoderKL", "UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel"),
    "transformers": (
        *("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"),
        *("CLIPTokenizer", "CLIPTokenizerFast", "T5Tokenizer", "T5TokenizerFast"),
    ),
}
"""Parts that are loaded. Schedules are read as numbers, whatever their class; anything else is not touched."""


def is_pipeline(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def family_of(folder: Path) -> Family:
    """-> the family of the pipeline in `folder`. UserError for one that is not known, or wants code of its own."""
    index = read_json(folder / INDEX)
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in FAMILIES:
        raise UserError(f"{folder / INDEX}: {name} is not known; the families are {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    for part in (family.denoiser, "vae", *family.encoders, *family.tokenizers):
        _refuse_stranger(folder, part, index.get(part))
    if not (folder / "scheduler" / "scheduler_config.json").is_file():
        raise UserError(f"{folder}: scheduler/scheduler_config.json is missing; get the model again")
    return family


def _refuse_stranger(folder: Path, part: str, named: Any) -> None:
    if not (isinstance(named, list) and len(named) == 2 and all(isinstance(one, str) for one in named)):
        raise UserError(f"{folder / INDEX}: `{part}` is missing; a part of the model was left out, get it again")
    library, kind = named
    if kind not in KNOWN.get(library, ()):
        raise UserError(f"{folder / INDEX}: `{part}` is {library}.{kind}, which is not loaded: only known parts are")
    if not (folder / part).is_dir():
        raise UserError(f"{folder}: the folder {part} is missing; get the model again")
