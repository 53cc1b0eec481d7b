"""How pictures become the passes of a step: a variant, a caption or none, noise, and what keeps the class as it was."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from tunesmith.core.errors import UserError
from tunesmith.core.latents import LatentBatch, Prompts
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.objectives.denoise import Denoise
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.pictures.prepare import Picture
from tunesmith.streams.latents import Noising, generator_of, in_passes, levels, noised
from tunesmith.studio.opening import Opened
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller


@dataclass
class PictureFeed:
    """A pure function of the step, and of the base where the prior asks it."""

    opened: Opened
    store: Store
    teller: Teller
    variants: int
    base: Callable[[], AbstractContextManager[Denoiser]]
    class_pictures: Sequence[Picture] = ()

    def __post_init__(self) -> None:
        objective, seed = self.opened.objective, self.opened.recipe.train.seed
        if not isinstance(objective, Denoise):
            raise UserError("objective: what learns from pairs of pictures is not planned or compared yet; train it")
        self.noising = Noising(
            self.opened.noise,
            seed,
            objective.weighting,
            objective.gamma,
            objective.noise_offset,
            self.opened.timesteps,
        )
        self.judging = Noising(self.opened.own_noise, 0)  # of validation: the same whatever the objective draws

    def __call__(self, pictures: Sequence[Picture], step: int | None) -> list[LatentBatch]:
        assert step is not None, "validation has noise of its own"
        made = self._instances(pictures, step)
        most = self.opened.recipe.train.tokens_per_pass
        objective = self.opened.objective
        if not isinstance(objective, DreamBooth) or objective.prior == "none":
            return in_passes(made, most)
        if objective.prior == "images":
            return in_passes([*made, *self._of_class(objective, len(pictures), step)], most)
        return in_passes([*made, *self._as_before(objective, made, most)], most)

    def _instances(self, pictures: Sequence[Picture], step: int) -> list[LatentBatch]:
        seed, dropout = self.noising.seed, self.opened.recipe.pictures.caption_dropout
        sentences = self.opened.objective.sentences
        if self.opened.recipe.method.bare:
            dropout = 0.0  # without a caption nothing is said that could learn
        made = []
        for place, (picture, level) in enumerate(zip(pictures, levels(seed, step, len(pictures)), strict=True)):
            generator = generator_of("picture", seed, step, place, picture.sha256)
            variant = int(torch.randint(self.variants, (), generator=generator))
            silent = float(torch.rand((), generator=generator)) < dropout
            said = "" if silent else None
            if len(sentences) > 1 and not silent:
                said = sentences[int(torch.randint(len(sentences), (), generator=generator))]
            latent = self.store.latent(picture, variant)
            made.append(noised(latent, self.teller, self.noising, level, generator, said))
        return made

    def _of_class(self, objective: DreamBooth, count: int, step: int) -> list[LatentBatch]:
        """As many pictures of the class, in an order of their own."""
        seed = self.noising.seed
        found = []
        for place, level in enumerate(levels(seed, -1 - step, count)):
            picture = self.class_pictures[(step * count + place) % len(self.class_pictures)]
            generator = generator_of("class", seed, step, place, picture.sha256)
            batch = noised(
                self.store.latent(picture, 0), self.teller, self.noising, level, generator, objective.class_prompt
            )
            found.append(replace(batch, weights=batch.weights * objective.prior_weight, counted=(False,)))
        return found

    def _as_before(self, objective: DreamBooth, made: Sequence[LatentBatch], most: int | None) -> list[LatentBatch]:
        """The same noisy latents under the class prompt; what the base says of them is the target."""
        assert objective.class_prompt is not None
        told = self.teller([objective.class_prompt])
        asked = [
            replace(
                batch,
                prompts=Prompts(told.ids, told.context, told.pooled, batch.prompts.sizes),
                weights=batch.weights * objective.prior_weight,
                masks=None,
                counted=(False,),
            )
            for batch in made
        ]
        with self.base() as base, torch.no_grad():
            return [
                replace(batch, targets=base(batch.to(self.opened.device)).cpu()) for batch in in_passes(asked, most)
            ]
