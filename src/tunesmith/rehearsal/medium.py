"""What differs between plans of texts and of pictures: their process, their stages, what makes a part smaller."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.core.protocols import Eats
from tunesmith.rehearsal.measured import PAINTING, STAGES

TIME = {
    "opening": "that is the same for every run",
    "probe": "give train.learning_rate as a number, and nothing is tried",
    "reference": "the base reads each answer once, and what it said is kept for later runs over the same rows",
    "rollouts": "fewer answers (objective.answers), shorter ones (objective.answer_tokens) or fewer prompts "
    "(train.batch_size) take less",
    "training": "fewer steps (train.max_steps), fewer rows (data.limit) or shorter ones (data.max_length) take less",
    "validation": "validate less often (train.evaluate_every) or on fewer rows (data.split)",
    "checkpoints": "save less often (train.checkpoint_every)",
    "artifact": "that is the price of writing the whole model; method=lora writes a small part",
    "proof": "that is the same for every run of this base",
    "scoring": "compare on fewer rows (evaluate.items)",
    "answers": "write fewer (evaluate.answers, evaluate.score_answers) or shorter ones (evaluate.answer_tokens)",
}
MEMORY = {
    "data": "the rows themselves: use fewer (data.limit)",
    "load": "the base itself: take a smaller one, or train.precision=bfloat16",
    "attach": "the base itself: take a smaller one, train.precision=bfloat16, or method=qlora",
    "training": "passes of fewer tokens (train.tokens_per_pass) need less; the result stays the same",
    "validation": "passes of fewer tokens (train.tokens_per_pass) need less; the result stays the same",
    "checkpoints": "what trains: method=lora, a smaller method.rank or fewer method.targets need less",
    "artifact": "what trains: method=lora needs less",
    "proof": "the base itself: take a smaller one, or train.precision=bfloat16",
    "evaluation": "passes of fewer tokens (train.tokens_per_pass) and fewer answers (evaluate.answers=0) need less",
}

PICTURE_TIME = {
    "opening": TIME["opening"],
    "latents": "each variant (data.variants) goes through the autoencoder once, and is kept for later runs",
    "training": "fewer steps (train.max_steps) or smaller pictures (data.size) take less",
    "validation": "validate less often (train.evaluate_every) or on fewer pictures (data.split)",
    "checkpoints": TIME["checkpoints"],
    "artifact": TIME["artifact"],
    "proof": TIME["proof"],
    "scoring": "hold out fewer pictures (data.split)",
    "samples": "paint fewer pictures (evaluate.pictures, evaluate.prompts) in fewer steps (evaluate.picture_steps)",
}
_BASE = "the base itself: take a smaller one, or train.precision=bfloat16"
_PASSES = "passes of fewer places of latents (train.tokens_per_pass), train.recompute or a smaller data.size need less"
PICTURE_MEMORY = {
    "data": _BASE,
    "load": _BASE,
    "attach": _BASE,
    "latents": "the autoencoder: smaller pictures (data.size) need less",
    "training": f"{_PASSES}; the first leaves the result the same",
    "validation": _PASSES,
    "checkpoints": MEMORY["checkpoints"],
    "artifact": MEMORY["artifact"],
    "proof": _BASE,
    "evaluation": "painting: smaller pictures (data.size) need less, and evaluate.pictures=0 paints none",
}


@dataclass(frozen=True, slots=True)
class Medium:
    """What differs between texts and pictures."""

    rehearsal: str  # the module of its process
    stages: tuple[str, ...]
    unit: str  # that a run is counted in
    time: Mapping[str, str]  # what makes a part shorter
    memory: Mapping[str, str]  # what makes a stage smaller


TEXTS = Medium("tunesmith.rehearsal", STAGES, "tokens", TIME, MEMORY)
PICTURES = Medium("tunesmith.studio.rehearsal", PAINTING, "places of latents", PICTURE_TIME, PICTURE_MEMORY)


def medium_of(eats: Eats) -> Medium:
    return PICTURES if eats == "pictures" else TEXTS
