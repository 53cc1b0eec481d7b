"""One run of tunesmith on the picture benchmark's work, in a process of its own. Prints one line of JSON."""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from picture_work import PictureWork
from process import Laps, peak_memory
from safetensors.torch import load_file

from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.models.load import Place
from tunesmith.recipe import Recipe
from tunesmith.streams.stream import steps
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.opening import Opened, base_of, model_of, open_base
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.step import Stepper
from tunesmith.train.world import World


def run(work: PictureWork, precision: str, folder: Path) -> dict[str, object]:
    opened = open_base(recipe_of(work, precision, folder), Place("base", Path(work.base)), folder, lambda _: None)
    model = model_of(opened)
    opened.recipe.method.attach(model.network)
    stored = opened.recipe.method.stored(model.inner)
    start = load_file(work.adapter)
    with torch.no_grad():
        for name, tensor in stored.items():
            tensor.copy_(start[name])
    return train(work, opened, model.train(), folder)


def recipe_of(work: PictureWork, precision: str, folder: Path) -> Recipe:
    return Recipe(
        base=work.base,
        data={"train": work.pictures, "split": 0.0, "caption_dropout": 0.0, "size": work.size, "buckets": False},
        method={"kind": "lora", "rank": work.rank, "alpha": work.alpha, "targets": work.targets},
        objective={"kind": "denoise", "weighting": "none"},
        train={
            "batch_size": work.batch_size, "max_steps": work.steps, "learning_rate": work.rate,
            "precision": precision, "schedule": "constant", "warmup": 0.0,
        },
        output=str(folder),
    )  # fmt: skip


def train(work: PictureWork, opened: Opened, model: Denoiser, folder: Path) -> dict[str, object]:
    begin = time.perf_counter()
    store = Store(opened.base.vae, opened.base.fingerprint, opened.recipe.pictures, 0, folder)
    store.prepare(opened.prepared.train, 1, lambda _: None)
    preparing = time.perf_counter() - begin
    feed = PictureFeed(opened, store, Teller(opened), 1, lambda: base_of(opened, model))
    stream = steps(feed, opened.prepared.train, seed=0, batch_size=work.batch_size)  # type: ignore[arg-type]
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = Optimizer(trained, weight_decay=0.0, betas=(0.9, 0.999))
    stepper = Stepper(model, opened.objective, optimizer, World(torch.device("cpu")), clip=1.0)
    losses, laps = [], Laps()
    for step in range(work.steps):
        losses.append(stepper.step(stream(step), work.rate)["loss"])
        laps.mark()
    return {"losses": losses, **laps.between(), "peak_bytes": peak_memory(), "preparing_seconds": preparing}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        result = run(PictureWork.read(sys.argv[1]), sys.argv[2], Path(scratch))
    print(json.dumps(result))
