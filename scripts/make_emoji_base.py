"""Makes the image base `emoji-diffusion`, in stages that can be stopped and gone on with.

    python scripts/make_emoji_base.py FOLDER --stage draw
    python scripts/make_emoji_base.py FOLDER --stage vae --hours 0.5
    ... --stage clip, latents, unet, decoder; then --stage export, judge, sheet

Needs npm (for six pinned packages of pictures and names) and `pip install resvg-py==0.5.0`.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from emoji_base.networks import Sizes
from emoji_base.store import Store
from emoji_base.training import Plan

from tunesmith.core.errors import UserError

PLANS = {
    "vae": Plan(steps=6000, batch=8, rate=1e-3, turn=0.03, warmup=50),
    "clip": Plan(steps=1500, batch=128, rate=1e-3, turn=0.02, warmup=50),
    "unet": Plan(steps=20_000, batch=32, rate=5e-4, turn=0.02, average=0.9995),
    "decoder": Plan(steps=6000, batch=8, rate=5e-4, turn=0.01, warmup=50),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stage", required=True, choices=["draw", *PLANS, "latents", "export", "judge", "sheet"])
    parser.add_argument("--hours", type=float, default=24.0, help="stop after so long; the same command goes on")
    parser.add_argument("--steps", type=int, help="another end than the plan's; the rate falls over the last fifth")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    store = Store(given.folder, Sizes(), given.seed)
    if given.stage in PLANS:
        plan = replace(PLANS[given.stage], seed=given.seed, steps=given.steps or PLANS[given.stage].steps)
        train(store, given.stage, plan, 3600 * given.hours)
    else:
        make(store, given.stage)


def train(store: Store, name: str, plan: Plan, seconds: float) -> None:
    from emoji_base.contrast import clip_stage
    from emoji_base.noise import unet_stage
    from emoji_base.pictures import decoder_stage, vae_stage

    stages = {"vae": vae_stage, "clip": clip_stage, "unet": unet_stage, "decoder": decoder_stage}
    stage, loss = stages[name](store, plan)
    done = stage.run(loss, seconds, lambda line: print(line, flush=True))
    print(f"{name}: {'done' if done else 'to be gone on with'} at step {stage.step} of {plan.steps}")


def make(store: Store, name: str) -> None:
    from emoji_base.export import export
    from emoji_base.judge import judge
    from emoji_base.latents import make_latents
    from emoji_base.sheet import make_sheet

    makers: dict[str, Callable[[Store], None]] = {
        "draw": Store.prepare,
        "latents": make_latents,
        "export": export,
        "judge": judge,
        "sheet": make_sheet,
    }
    makers[name](store)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
