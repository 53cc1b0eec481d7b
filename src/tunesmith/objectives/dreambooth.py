"""DreamBooth: a word for one subject, learned from a few pictures, while its class stays what it was.

loss = L(pictures, "a zwx cat") + w L(class, "a cat")        https://arxiv.org/abs/2208.12242

The second term is the prior. `images`: pictures of the class that the base made once. `prediction`: the same noisy
latents under the class prompt, and the base's own answer as the target; it needs no pictures and no sampling.
"""

from typing import Literal

from pydantic import Field, model_validator

from tunesmith.objectives.denoise import Denoise


class DreamBooth(Denoise):
    """Learn one subject from a handful of pictures."""

    kind: Literal["dreambooth"] = "dreambooth"  # type: ignore[assignment]
    prompt: str = Field(min_length=1)
    """What the pictures show, with a rare word for the subject: "a zwx cat"."""
    class_prompt: str | None = None
    """The same without the word, "a cat": what must stay as it was. How far it moved is measured in any case; a prior
    needs it."""
    prior: Literal["none", "images", "prediction"] = "prediction"
    """How the class is kept. prediction needs no pictures of it, which makes it the cheap one on a CPU."""
    prior_weight: float = Field(1.0, gt=0)
    """How much the prior counts beside the pictures."""
    class_images: int = Field(48, ge=1)
    """prior=images: how many pictures of the class the base makes, once; they are kept in the cache."""

    @model_validator(mode="after")
    def _prior_has_a_class(self) -> "DreamBooth":
        if self.prior != "none" and self.class_prompt is None:
            raise ValueError('class_prompt: the prior needs it, for example "a cat"; or set prior=none')
        if self.prior == "none" and self.given("prior_weight"):
            raise ValueError("prior_weight: read by the prior, and prior is none; remove it")
        if self.prior != "images" and self.given("class_images"):
            raise ValueError("class_images: read by prior=images; remove it")
        if self.class_prompt is not None and self.class_prompt.strip() == self.prompt.strip():
            raise ValueError("class_prompt: the same as prompt; leave out the word that stands for the subject")
        if self.token is not None and self.token not in self.prompt:
            raise ValueError(f"prompt: does not say the new word `{self.token}`, which could learn nothing; put it in")
        if self.token is not None and self.token in (self.class_prompt or ""):
            raise ValueError(
                f"class_prompt: says the new word `{self.token}`, which is no part of the class; leave it out"
            )
        return self

    @property
    def sentences(self) -> tuple[str, ...]:
        return (self.prompt,)

    @property
    def shown(self) -> tuple[str, ...]:
        return (self.prompt, *((self.class_prompt,) if self.class_prompt else ()))
