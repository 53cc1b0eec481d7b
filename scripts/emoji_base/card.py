"""The model card: what it is, whose pictures it learned from, seeds, and the curves of its losses."""

from typing import Any

from tunesmith.core.files import read_manifest

from .holdout import DOUBLES, STYLE, SUBJECTS, TRAINED
from .packages import PACKAGES
from .store import Store
from .training import states

_STAGES = ("vae", "clip", "unet", "decoder")
_ROWS = 12  # of each curve

_HEAD = """---
license: apache-2.0
pipeline_tag: text-to-image
---

# emoji-diffusion

A latent diffusion model of 64 x 64 pixels in the form of Stable Diffusion 1 (CLIPTextModel, AutoencoderKL,
UNet2DConditionModel), trained from nothing on emoji with names by `scripts/make_emoji_base.py`. It is there to be
fine-tuned in minutes without a download; it can draw nothing but emoji.

    from diffusers import StableDiffusionPipeline
    pipe = StableDiffusionPipeline.from_pretrained("emoji-diffusion")
    pipe("a 3d emoji of a dog face, on a blue background", height=64, width=64, guidance_scale=4)

Styles: {styles}. Backgrounds: one colour, sometimes shaded. `small`, `on the left`, `on the right`, `at the top`,
`at the bottom` place one thing; `a X on the left and a Y on the right` two. Captions are English names of emoji, with
keywords. The end of the noise schedule is pure noise, predictions are velocities: use a scheduler that keeps
`rescale_betas_zero_snr` and `timestep_spacing="trailing"`. Latents have mean 0 and deviation 1, `scaling_factor` is 1.

## Not in training

- the style `{held}`, wholly;
- in every style: {subjects};
- the doubles of these: {doubles}.

Flags and skin tones are left out. People by trade, clock faces and Japanese buttons are drawn a third as often.

## Data and licences

| package | gives | licence |
|---|---|---|
{packages}

The weights are published under Apache-2.0, together with these notices.
"""


def card(store: Store) -> str:
    head = _HEAD.format(
        styles=", ".join(f"`{style}`" for style in TRAINED),
        held=STYLE,
        subjects="; ".join(f"{name} ({' '.join(codes)})" for name, codes in SUBJECTS.items()),
        doubles=", ".join(f"{code} in `{style}`" for style, code in sorted(DOUBLES)),
        packages="\n".join(f"| {p.name} {p.version} | {p.gives} | {p.licence} |" for p in PACKAGES.values()),
    )
    return head + "\n## Training\n" + "".join(_stage(store, name) for name in _STAGES)


def _stage(store: Store, name: str) -> str:
    found = states(store.folder / name)
    if not found:
        return f"\n`{name}`: not trained.\n"
    about = read_manifest(found[-1])
    plan, curve = about["plan"], about["curve"]
    lines = [
        f"\n### {name}\n",
        f"{about['step']} steps of {plan['batch']} pictures in {about['seconds'] / 3600:.2f} hours, "
        f"rate {plan['rate']}, seed {plan['seed']}, average {plan['average']}.\n",
        *_table(curve[:: max(1, len(curve) // _ROWS)] + curve[-1:]),
    ]
    return "\n".join(lines) + "\n"


def _table(points: list[dict[str, Any]]) -> list[str]:
    keys = list(points[0])
    rows = ["| " + " | ".join(f"{point[key]:.4g}" if key != "step" else str(point[key]) for key in keys) + " |"
            for point in points]  # fmt: skip
    return ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys), *rows]
