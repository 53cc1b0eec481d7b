"""What a network ends in: words, a score for each class, or one number, as the objective of its recipe wants it."""

from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.headed import Head, mark_of
from tunesmith.core.targets import scale_of
from tunesmith.data.prepare import Prepared
from tunesmith.models.language import CausalLM, Packed
from tunesmith.models.scored import Scored
from tunesmith.recipe import Recipe


def head_for(recipe: Recipe, prepared: Prepared) -> Head | None:
    """-> the head that the objective needs over these rows. Raises UserError where all want the same number."""
    match recipe.objective.ending:
        case "words":
            return None
        case "classes":
            return Head(prepared.labels, "single_label_classification", recipe.train.seed)
    if recipe.objective.eats != "targets":
        return Head(("reward",), "regression", recipe.train.seed)
    scale = scale_of(prepared.train)
    if not scale.deviation:
        raise UserError(f"data.train: every row has the number {scale.mean:g}; there is nothing to learn")
    return Head(("value",), "regression", recipe.train.seed, scale)


def face(network: Any, *, recompute: bool = False) -> Packed:
    """`network` by the face that objectives know."""
    return (Scored if mark_of(network) else CausalLM)(network, recompute=recompute)
