"""What every objective over pictures says of itself, whatever its formula: noise, encoders, and what is said."""

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, Ending
from tunesmith.core.word import Word
from tunesmith.objectives.objective import ObjectiveConfig


class Painting(ObjectiveConfig):
    """Learn from pictures."""

    eats: ClassVar[Eats] = "pictures"
    ending: ClassVar[Ending] = "pictures"
    rate: ClassVar[float] = 0.5

    noise_offset: float = Field(0.0, ge=0, le=1)
    """Noise that is the same at all places of a channel, so that very dark and very bright pictures can be learned
    where the schedule never reaches pure noise. 0.05 is usual."""
    zero_terminal_snr: bool = False
    """Make the last step of the schedule pure noise. Only with a base of v-prediction."""
    timesteps: Literal["uniform", "logit-normal"] | None = None
    """How noise levels are drawn: evenly, or most of them in the middle. None: logit-normal for flows (SD 3, FLUX),
    uniform for others."""
    shift: float | None = Field(None, gt=0)
    """Flows: more of the training at high noise, the more above 1. None: the base's own, of one number (SD 3) or by the
    size of the pictures (FLUX)."""
    text_encoder: bool = False
    """Whether the encoders of the prompts learn too. It gives no lower validation loss, and forgets more."""

    @property
    def mixes(self) -> str | None:
        return "it learns pictures, whose runs have no privacy yet"

    @property
    def word(self) -> Word | None:
        """The new word that is learned."""
        return None

    @property
    def encodes(self) -> bool:
        """Whether prompts go through the encoders at each step: something of them learns."""
        return self.text_encoder or self.word is not None

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is said of all pictures, one of them at each step; empty: each has a caption of its own."""
        return ()

    @property
    def shown(self) -> tuple[str, ...]:
        """Prompts that show what was learned; empty: the first captions do."""
        return self.sentences[:1]

    def __call__(self, model: nn.Module, batch: Any) -> Loss:
        raise AssertionError("every objective has a formula")
