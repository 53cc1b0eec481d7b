"""Suites `subject` and `copies`: is it the subject, and is it only a picture that was shown?

subject  likeness     the likeness of what is painted to the subject, on the scale of `fidelity.anchors`
         similarity   the bare cosine, of the thing cut out on white; `clip_i` and `dino` by encoders of the user's,
                      of whole pictures, as the paper of DreamBooth has them (https://arxiv.org/abs/2208.12242)
copies   nearest      the cosine with the nearest picture of the training
         copied       the share that is nearer to one than any two real pictures are to each other
         copied/asked the same where the prompt of the training is asked with strong guidance, which draws out what was
                      memorised (after https://arxiv.org/abs/2301.13188)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunesmith.evaluate.family import Gathered
from tunesmith.evaluate.statistics import SMALLEST
from tunesmith.fidelity.anchors import Anchors, closest, nearest
from tunesmith.fidelity.settings import Setting
from tunesmith.fidelity.things import cut_out
from tunesmith.models.seeing import Encoder
from tunesmith.studio.sides import Ask, PictureSides

GUIDED, GUIDED_SEEDS = 10.0, 6  # how much the prompt counts where copies are asked for, and how often
_SEEDS = 1_000  # of one prompt: none is used for two


@dataclass
class Asked:
    """What is asked of both models, and by whom it is seen. What was painted for one suite is there for the others."""

    sides: PictureSides
    settings: Sequence[Setting]
    each: int  # pictures of a prompt
    real: np.ndarray  # (R, H, W, 3), distinct pictures of the subject
    others: np.ndarray | None  # other subjects of its class; None: what the base paints of the class
    encoder: Encoder
    more: Sequence[Encoder] = ()
    margin: float = 0.05
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def prompts(self) -> list[str]:
        """-> of each picture of the subject, in their order."""
        return [setting.prompt for setting in self.settings for _ in range(self.each)]

    @property
    def twins(self) -> list[str]:
        """-> prompts of the class: every other one where that leaves enough for a verdict, else all."""
        every = [setting.twin for setting in self.settings]
        return every[::2] if len(every) >= 2 * SMALLEST else every

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """-> (P * each, H, W, 3) of the subject by the base and by the tuned model."""
        asks = _asks([setting.prompt for setting in self.settings], self.each)
        return self._once("subject", lambda: self.sides.painted("the subject", asks))

    def of_class(self) -> tuple[np.ndarray, np.ndarray]:
        """-> the same of its class, each prompt at least twice."""
        asks = _asks(self.twins, max(2, self.each))
        return self._once("class", lambda: self.sides.painted("its class", asks))

    def anchors(self, encoder: Encoder, *, whole: bool = False) -> Anchors:
        """-> the scale of one encoder. `whole`: of pictures as they are, with what is behind."""
        others = self.of_class()[0] if self.others is None else self.others
        return Anchors.of(*(seen(encoder, pictures, whole=whole) for pictures in (self.real, others)))

    def family(self) -> Gathered:
        return Gathered(self.margin)

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def _asks(prompts: Sequence[str], each: int, guidance: float | None = None) -> list[Ask]:
    more = {} if guidance is None else {"guidance": guidance}
    return [Ask(prompt, _SEEDS * place + seed, **more) for place, prompt in enumerate(prompts) for seed in range(each)]


def seen(encoder: Encoder, pictures: np.ndarray, *, whole: bool = False) -> np.ndarray:
    """(N, H, W, 3) -> (N, D)"""
    return encoder(pictures if whole else np.stack([cut_out(picture) for picture in pictures]))


def subject(asked: Asked) -> tuple[Gathered, dict[str, Any]]:
    """-> the metrics, and the table of the anchors."""
    family, prompts = asked.family(), asked.prompts
    anchors = asked.anchors(asked.encoder)
    both = [seen(asked.encoder, pictures) for pictures in asked.pictures()]
    family.means("likeness", [anchors.likeness(made).tolist() for made in both], "higher", prompts)
    family.means("similarity", [anchors.similarity(made).tolist() for made in both], "higher", prompts)
    for encoder in asked.more:
        name = {"clip": "clip_i"}.get(encoder.name, encoder.name)
        real = encoder(asked.real)
        cosines = [(encoder(pictures) @ real.T).mean(1).tolist() for pictures in asked.pictures()]
        family.means(name, cosines, "higher", prompts)
    return family, {"anchors": _told(asked, anchors)}


def _told(asked: Asked, anchors: Anchors) -> list[dict[str, Any]]:
    """-> the ends of the scale, and what stands between them."""
    others = len(asked.of_class()[0]) if asked.others is None else len(asked.others)
    who = "the base's pictures of the class" if asked.others is None else "other subjects of the class"
    return [
        {
            "": "two real pictures of the subject",
            "likeness": 1.0,
            "cosine": anchors.ceiling,
            "pictures": len(asked.real),
        },
        {"": f"the subject and {who}", "likeness": 0.0, "cosine": anchors.floor, "pictures": others},
    ]


def copies(asked: Asked) -> tuple[Gathered, dict[str, Any]]:
    """-> the metrics; whole pictures are compared, for a copy has the background too."""
    family, encoder = asked.family(), asked.encoder
    real = encoder(asked.real)
    most = closest(real)
    both = [nearest(encoder(pictures), real) for pictures in asked.pictures()]
    family.means("nearest", [near.tolist() for near in both], "neither", asked.prompts)
    family.means("copied", [(near > most).astype(float).tolist() for near in both], "lower", asked.prompts)
    first = asked.settings[0].prompt
    guided = asked.sides.painted("copies", _asks([first], GUIDED_SEEDS, GUIDED))
    both = [nearest(encoder(pictures), real) for pictures in guided]
    family.means("copied/asked", [(near > most).astype(float).tolist() for near in both], "lower")
    return family, {}
