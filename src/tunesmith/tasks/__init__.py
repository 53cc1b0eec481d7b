"""What a run does with each kind of examples: a new kind is one file here and one name in this table."""

from collections.abc import Mapping

from tunesmith.core.protocols import Eats
from tunesmith.tasks import pairs, prompts, ranked, rated, targets, tokens
from tunesmith.tasks.task import Task

TASKS: Mapping[Eats, Task] = {
    "tokens": tokens.TASK,
    "pairs": pairs.TASK,
    "rated": rated.TASK,
    "targets": targets.TASK,
    "ranked": ranked.TASK,
    "prompts": prompts.TASK,
}
"""By what the objective eats."""
