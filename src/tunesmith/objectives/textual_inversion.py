"""Textual inversion: a new word for what a few pictures show, learned from sentences that say little else.

v* = argmin over v of L(picture, "a photo of {v}")        L: denoising; https://arxiv.org/abs/2208.01618

The sentences differ from step to step, so that the word takes up what the pictures share and they do not say.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tunesmith.objectives.denoise import Denoise

SENTENCES = {
    "object": (
        "a photo of {}", "a picture of {}", "an image of {}", "a good photo of {}", "a close photo of {}",
        "a cropped picture of {}", "a bright photo of {}", "a dark photo of {}", "a clean picture of {}",
        "a rendering of {}", "a photo of one {}", "a photo of my {}", "a nice image of the {}", "this is {}",
    ),
    "style": (
        "a painting in the style of {}", "a picture in the style of {}", "a drawing in the style of {}",
        "an image in the style of {}", "a rendering in the style of {}", "a small painting in the style of {}",
        "a bright picture in the style of {}", "a dark picture in the style of {}", "art in the style of {}",
        "something in the style of {}",
    ),
}  # fmt: skip
"""What is said around the word, by what it stands for. The paper's are of the same kinds, and 27."""


class TextualInversion(Denoise):
    """Learn one new word from a handful of pictures."""

    default_method: ClassVar[str] = "token"
    kind: Literal["textual-inversion"] = "textual-inversion"  # type: ignore[assignment]
    learns: Literal["object", "style"] = "object"
    """What the word stands for: a thing, or how things are painted. It decides the sentences around it."""
    templates: tuple[str, ...] = Field(())
    """Sentences of your own instead, each with {} where the word goes."""

    @model_validator(mode="after")
    def _has_a_word(self) -> "TextualInversion":
        if self.token is None:
            raise ValueError(
                "token: name the new word, for example token=<zwx>, and the known one it begins with, init"
            )
        if odd := next((one for one in self.templates if one.count("{}") != 1), None):
            raise ValueError(f"templates: `{odd}` must have {{}} once, where the word goes")
        if self.templates and self.given("learns"):
            raise ValueError("learns: chooses among our sentences, and templates gives others; remove one of them")
        return self

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(one.replace("{}", self.token or "") for one in self.templates or SENTENCES[self.learns])
