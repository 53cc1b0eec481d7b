"""What every objective says of itself beside its formula; `core.protocols.Objective` is the face."""

from typing import ClassVar, Literal

from tunesmith.core.config import Config
from tunesmith.core.protocols import Eats, Ending


class ObjectiveConfig(Config):
    """The configuration of an objective is the objective."""

    eats: ClassVar[Eats]
    """The kind of examples it is fed with."""
    refers: ClassVar[bool] = False
    """Whether it looks at what the frozen base says of the answers."""
    ending: ClassVar[Ending] = "words"
    """What the network must end in."""
    rate: ClassVar[float] = 1.0
    """Times the method's own learning rate, where the recipe names none."""
    default_method: ClassVar[str] = "lora"
    """The method of a recipe that names none."""

    def given(self, name: str) -> bool:
        """Whether a field has another value than the one that it has by itself: recipes of runs write every value."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def mixes(self) -> str | None:
        """-> what of other rows the loss of a row depends on; then nothing bounds what one row does. None: nothing."""
        return None


class ScoringConfig(ObjectiveConfig):
    """An objective whose network ends in a head."""

    head_start: Literal["random", "fitted"] = "random"
    """Where a new head begins. random: small random numbers. fitted: where this objective is lowest over the frozen
    base, so that training does not begin by following an opinion that means nothing (at most 2,048 rows are read)."""
