"""The recipe's `evaluate` section: what is measured before and after."""

from typing import Self

from pydantic import Field

from tunesmith.core.config import Config
from tunesmith.core.protocols import Ending


class Evaluate(Config):
    """Evidence: base and tuned model on the same held-out rows."""

    enabled: bool = True
    """Measure before and after. Without it a run has its proof and its validation loss, but no evidence of gain."""
    items: int | None = Field(None, ge=1)
    """At most so many test rows, the first by row number. None: all."""
    answers: int = Field(8, ge=0)
    """For how many test rows both models write an answer, shown side by side; 0 for none."""
    score_answers: int = Field(0, ge=0)
    """For how many test rows written answers are scored (exact match, ROUGE-L, chrF). Writing is slow on a CPU."""
    answer_tokens: int = Field(96, ge=1)
    """The longest answer."""
    prompts: tuple[str, ...] = ()
    """What is painted before, on the way and after, where pictures are learned. None: the prompt of the subject and
    that of its class, or the first captions."""
    pictures: int = Field(4, ge=0)
    """How many pictures of each prompt, with the seeds 0, 1, ...; 0 for none."""
    picture_steps: int = Field(25, ge=1)
    """Steps of sampling for such a picture."""
    pictures_every: int | None = Field(None, ge=1)
    """Steps of training between two grids of pictures. None: before and after alone."""
    fidelity_pictures: int = Field(2, ge=0)
    """Of a single subject: how many pictures of each prompt judge likeness and obedience at the end, by base and tuned
    model, where the encoder `efficientnet-lite0` is on the disk; 0 for no such judgement."""
    others: str | None = None
    """Pictures of other subjects of the same class, a folder or a name of the catalogue: the lower end of the scale of
    likeness. None: what the base paints of the class."""
    encoders: tuple[str, ...] = ()
    """Folders of CLIP or DINO weights as transformers saves them: CLIP-I, CLIP-T and DINO beside the small encoder."""
    general: bool = True
    """Perplexity on general English that is not the task's, to see what was forgotten."""

    def of_ending(self, ending: Ending) -> Self:
        """What of it can be asked of a network that ends so: one with a head writes no text."""
        silent = {"answers": 0, "score_answers": 0, "general": False}
        return self if ending == "words" else self.model_copy(update=silent)
