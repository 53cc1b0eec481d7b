"""What stands before the first step of a run on pictures: the base, the pictures, and what the recipe left open."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch

from tunesmith.bases import resolve
from tunesmith.catalogue.entries import entry, is_data
from tunesmith.catalogue.fetch import default_cache, fetch
from tunesmith.core.errors import UserError
from tunesmith.core.files import write_json
from tunesmith.methods.activity import base_only
from tunesmith.models.check_weights import read_json
from tunesmith.models.diffusion.denoiser import Denoiser, Parts
from tunesmith.models.diffusion.family import Family
from tunesmith.models.diffusion.load import PictureBase, check_pipeline, load_pipeline
from tunesmith.models.diffusion.noise import Noise, noise_of
from tunesmith.models.diffusion.prompts import refuse_learning, refuse_long
from tunesmith.models.diffusion.words import Taught, refuse_words, teach
from tunesmith.models.load import Place, Say
from tunesmith.models.precision import Probe, choose
from tunesmith.objectives.denoise import Denoise
from tunesmith.objectives.painting import Painting
from tunesmith.opening import CHOICES, own_rate, the_device
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.pairs import prepare_pairs
from tunesmith.pictures.prepare import PreparedPictures, prepare
from tunesmith.recipe import Recipe
from tunesmith.studio.words import put_in

PLACES = 64 * 64 * 4  # of a latent that pass at once, where nothing is said: four pictures of 512 pixels
FEWEST, EACH, MOST = 400, 100, 2000  # pictures that a run sees: EACH for each one it has, within these bounds


@dataclass(frozen=True, slots=True)
class Opened:
    """An image model in memory, the pictures, and the recipe with nothing left open."""

    recipe: Recipe
    base: PictureBase
    prepared: PreparedPictures
    device: torch.device
    probe: Probe
    choices: dict[str, dict[str, Any]]
    taught: Mapping[str, Taught]  # where the tokenizers have the new word, by the encoder; empty where there is none

    @property
    def objective(self) -> Painting:
        assert isinstance(self.recipe.objective, Painting)
        return self.recipe.objective

    @property
    def noise(self) -> Noise:
        return self._noise(self.objective.shift)

    @property
    def own_noise(self) -> Noise:
        """Without a shift of the objective's: what validation looks at, so that runs can be compared."""
        return self._noise(None)

    def _noise(self, shift: float | None) -> Noise:
        zero = self.objective.zero_terminal_snr
        return noise_of(self.base.noise, flow=self.base.family.flow, zero_terminal_snr=zero, shift=shift)

    @property
    def timesteps(self) -> str:
        """How noise levels are drawn: as the objective says, else as the family was trained."""
        return self.objective.timesteps or ("logit-normal" if self.base.family.flow else "uniform")

    @property
    def adapted(self) -> tuple[str, ...]:
        """The parts that the method may change."""
        encoders = self.base.family.encoders if self.objective.text_encoder else ()
        return (self.base.family.denoiser, *encoders)

    @property
    def run(self) -> tuple[str, ...]:
        """The parts that run at each step."""
        encoders = self.base.family.encoders if self.objective.encodes else ()
        return (self.base.family.denoiser, *encoders)


def open_source(recipe: Recipe, say: Say) -> Place:
    """Find the base; all that can be refused without weights or pictures is refused here."""
    place = resolve(recipe.base, allow_download=recipe.allow_download, say=say)
    family = check_pipeline(place.path)
    objective = recipe.objective
    assert isinstance(objective, Painting)
    if objective.text_encoder:
        refuse_learning(family)
    _refuse_objective(objective, family, place, recipe.pictures)
    for key in ("recompute",):
        if getattr(recipe.train, key) and family.name not in ("sd", "sdxl", "sd3", "flux"):
            raise UserError(f"train.{key}: not with {family.name}; remove it")
    if recipe.base_quantize is not None:
        raise UserError("base_quantize: the linear layers of language models are packed; remove it for pictures")
    for key in recipe.left_to_trial:
        raise UserError(f"{key}: auto is for language models; give a number or nothing")
    return place


def _refuse_objective(objective: Painting, family: Family, place: Place, pictures: Pictures) -> None:
    """UserError for what an objective asks that the family has not."""
    if objective.word is not None:
        refuse_words(family)
    if len(objective.sentences) > 1 and pictures.captions not in ("auto", "none"):
        raise UserError(
            "data.captions: textual-inversion says sentences of its own; to learn the word from captions, "
            "take objective.kind=denoise with objective.token and method=token"
        )
    weighting = objective.weighting if isinstance(objective, Denoise) and objective.given("weighting") else "none"
    if family.flow and weighting != "none":
        raise UserError(
            f"objective.weighting: {weighting} is for diffusion, {family.name} is a flow; remove it "
            "(objective.timesteps says which noise levels it learns most)"
        )
    schedule = read_json(place.path / "scheduler" / "scheduler_config.json")
    noise_of(schedule, flow=family.flow, zero_terminal_snr=objective.zero_terminal_snr, shift=objective.shift)


def open_base(recipe: Recipe, place: Place, folder: Path | None, say: Say) -> Opened:
    """Load the base in the precision of this machine, read the pictures, and fill what the recipe left open.

    What was chosen is kept in the run folder, where there is one.
    """
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    device, kept = the_device(), _kept(folder)
    probe = choose(recipe.train.precision, device)
    if kept is not None:
        probe = Probe(kept["train.precision"]["value"], kept["train.precision"]["reason"])
    base = load_pipeline(place, dtype=probe.dtype, cache=default_cache())
    objective = recipe.objective
    assert isinstance(objective, Painting)
    taught = teach(base.parts, base.family, objective.word) if objective.word else {}
    prompt = next(iter(objective.sentences), None)
    pictures = on_disk(recipe, say)
    edge = {"size": pictures.size or base.size, "multiple": base.multiple}
    prepared = prepare_pairs(pictures, **edge) if objective.refers else prepare(pictures, **edge, prompt=prompt)
    if not prepared.train:
        raise UserError("data.train: no picture is left to train on")
    captions = sorted({p.caption for p in prepared.train} | set(objective.sentences))
    if len(objective.sentences) > 1:
        prepared.said.append(f"{len(objective.sentences)} sentences are said of them in turn, as {prompt!r}")
    if objective.word is not None:
        prepared.said.extend(_saying(objective.word.token, [p.caption for p in prepared.train]))
    prepared.said.extend(refuse_long(base.parts, base.family, captions))
    choices = kept or _choices(recipe, probe, len(prepared.train))
    if kept is None and folder is not None:
        write_json(folder / CHOICES, choices)
    train = recipe.train.model_dump()
    train |= {key.removeprefix("train."): choice["value"] for key, choice in choices.items()}
    full = recipe.model_copy(update={"train": type(recipe.train).model_validate(train)})
    for part in (base.family.denoiser, "vae", *base.family.encoders):
        base.parts[part].to(device)
    return Opened(full, base, prepared, device, probe, choices, taught)


def _saying(token: str, captions: Sequence[str]) -> list[str]:
    """-> a sentence where not all captions say the word. UserError where none does."""
    without = sum(token not in caption for caption in captions)
    if without == len(captions):
        raise UserError(
            f"objective.token: no caption says `{token}`, so that it could learn nothing; write it into them, "
            "or take objective.kind=dreambooth or textual-inversion, which say it of all pictures"
        )
    return [f"warning: {without} of {len(captions)} captions do not say `{token}`"] if without else []


def on_disk(recipe: Recipe, say: Say) -> Pictures:
    """-> the `data` section with a name of the catalogue replaced by its folder. The recipe keeps the name."""
    pictures, name = recipe.pictures, recipe.pictures.train
    if not (isinstance(name, str) and is_data(name)):
        return pictures
    say(entry(name).label)
    return pictures.model_copy(update={"train": str(fetch(name, allow_download=recipe.allow_download, say=say))})


def _kept(folder: Path | None) -> dict[str, dict[str, Any]] | None:
    if folder is None or not (folder / CHOICES).is_file():
        return None
    kept: dict[str, dict[str, Any]] = json.loads((folder / CHOICES).read_text(encoding="utf-8"))
    return kept


def _choices(recipe: Recipe, probe: Probe, count: int) -> dict[str, dict[str, Any]]:
    train = recipe.train
    choices: dict[str, dict[str, Any]] = {"train.precision": {"value": probe.precision, "reason": probe.reason}}
    if train.learning_rate is None:
        choices["train.learning_rate"] = own_rate(recipe)
    if train.tokens_per_pass is None:
        choices["train.tokens_per_pass"] = {"value": PLACES, "reason": "places of latents, four pictures of 512 pixels"}
    if train.epochs is None and train.max_steps is None:
        seen = min(MOST, max(FEWEST, EACH * count))
        reason = f"{seen} pictures seen: {EACH} for each of {count}, within {FEWEST} and {MOST}"
        choices["train.max_steps"] = {"value": ceil(seen / min(train.batch_size, count)), "reason": reason}
    return choices


def model_of(opened: Opened) -> Denoiser:
    """-> the denoiser, and the encoders beside it where something of them learns."""
    parts = Parts({name: opened.base.parts[name] for name in opened.run})
    return Denoiser(parts, opened.base.family, recompute=opened.recipe.train.recompute)


@contextmanager
def base_of(opened: Opened, model: Denoiser) -> Iterator[Denoiser]:
    """The base alone: the method switched off, or after full fine-tuning a second one beside the first."""
    if opened.recipe.method.kind == "full":
        again = load_pipeline(
            Place(opened.base.name, opened.base.folder), dtype=opened.probe.dtype, cache=default_cache()
        )
        put_in(again.parts, opened.taught)
        parts = Parts({name: again.parts[name].to(opened.device) for name in opened.run})
        with base_only(parts):
            yield Denoiser(parts, opened.base.family).eval()
    else:
        with base_only(model.network):
            yield model


def base_opener(opened: Opened, model: Denoiser) -> Callable[[], AbstractContextManager[Denoiser]]:
    """-> opens the base; after full tuning one second model is kept for the whole run."""
    held: list[Denoiser] = []

    @contextmanager
    def opening() -> Iterator[Denoiser]:
        if opened.recipe.method.kind != "full":
            with base_of(opened, model) as base:
                yield base
            return
        if not held:
            with base_of(opened, model) as base:
                held.append(base)
        yield held[0]

    return opening
