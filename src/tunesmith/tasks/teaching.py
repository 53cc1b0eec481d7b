"""The teacher of a distillation: another base beside the one that trains, asked as each step is made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.bases import load_base
from tunesmith.core.batch import Example, pack
from tunesmith.core.distributions import DistributionBatch
from tunesmith.core.errors import UserError
from tunesmith.models.language import CausalLM
from tunesmith.streams.stream import Feed
from tunesmith.streams.tokens import fitted

if TYPE_CHECKING:
    from tunesmith.opening import Opened


def taught_feed(opened: "Opened", *, share: bool) -> Feed:
    """Packed rows, each label with what the teacher finds likely there. Raises UserError for an unfit teacher."""
    objective: Any = opened.recipe.objective
    teacher = open_teacher(objective.teacher, opened)
    known = opened.base.network.get_input_embeddings().num_embeddings

    def passes(examples: Sequence[Example], step: int | None) -> list[DistributionBatch]:
        made = []
        for group in fitted(examples, opened.tokens_per_pass):
            packed = pack(group, share=share)
            choices, logprobs = teacher.likeliest(packed.to(opened.device), objective.top, known)
            made.append(DistributionBatch(packed, choices.cpu(), logprobs.cpu()))
        return made

    return passes


def open_teacher(name: str, opened: "Opened") -> CausalLM:
    """Raises UserError when it is no base, or its tokenizer is another."""
    allowed = opened.recipe.allow_download
    base = load_base(name, dtype=opened.probe.dtype, allow_download=allowed, say=_silent)
    own, other = (dict(b.tokenizer.get_vocab()) for b in (opened.base, base))
    if own != other:
        different = sum(own.get(token) != number for token, number in other.items())
        raise UserError(
            f"objective.teacher: {name} has another tokenizer than {opened.base.name} ({different} of its {len(other)} "
            "tokens are other ones): what it finds likely cannot be told to the base; take one of the same family"
        )
    network = base.network.to(opened.device).requires_grad_(False)
    model = CausalLM(network).eval()
    for which, one in (("teacher", model.way), ("base", CausalLM(opened.base.network).way)):
        if one == "padded":
            raise UserError(f"objective: distill needs hidden states, and the {which} cannot be packed; take another")
    return model


def _silent(sentence: str) -> None:
    pass
