"""What every objective over pictures says of itself, whatever its formula: noise, encoders, and what is said."""

from typing import ClassVar

from pydantic import Field

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
    text_encoder: bool = False
    """Whether the encoders of the prompts learn too. It gives no lower validation loss, and forgets more."""

    def given(self, name: str) -> bool:
        """Whether a field has another value than the one that it has by itself: recipes of runs write every value."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)

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
