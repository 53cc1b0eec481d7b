"""The recipe's `train.privacy` section: how little may be told from the result about any one training row."""

from pydantic import Field, model_validator

from tunesmith.core.config import Config


class Privacy(Config):
    """Differential privacy for each training row: its gradient is clipped, and noise is added to the sum.

    Of `epsilon` and `noise_multiplier` one is given; the other follows from it, the rows, the batch size and the steps.
    """

    epsilon: float | None = Field(default=None, gt=0, le=1000)
    """The guarantee that is wanted. Below 1 is strong, 8 is what many papers use, above 10 is said for little."""

    noise_multiplier: float | None = Field(default=None, ge=0, le=1000)
    """The deviation of the noise on the sum of a step's gradients, in lengths of `clip`. 0: no noise and no guarantee,
    to see what clipping alone does."""

    delta: float | None = Field(default=None, gt=0, lt=1)
    """The chance that the guarantee may fail: less than one over the rows. None: a tenth of that."""

    clip: float = Field(default=1.0, gt=0)
    """The longest gradient of one row, in Euclidean norm over all that trains; a longer one is scaled down."""

    reproducible: bool = False
    """Draw rows and noise from `train.seed`, so that equal recipes give equal runs. Whoever knows the seed, which a
    recipe, a report and a model card tell, can then take the noise away again: for experiments. False: from a key that
    stays in the run folder until training ends, and is then deleted."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "Privacy":
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("train.privacy: give epsilon or noise_multiplier, one of them; the other follows from it")
        return self
