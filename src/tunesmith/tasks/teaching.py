"""The teacher of a distillation: another base beside the one that trains, asked as each step is made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tunesmith.bases import load_base
from tunesmith.core.batch import TokenBatch
from tunesmith.core.errors import UserError
from tunesmith.models.language import CausalLM, Packed
from tunesmith.streams.rollouts import Written
from tunesmith.streams.stream import Feed
from tunesmith.streams.taught import Own, Taught, both, prompt_of, teachers
from tunesmith.tasks.writing import Writer, evaluating

if TYPE_CHECKING:
    from tunesmith.opening import Opened


def taught_feed(opened: "Opened", model: Packed, *, share: bool) -> Feed:
    """Packed rows, each label with what the teacher says of likely tokens there.

    Raises UserError for an unfit teacher, and for rows without a prompt where `model` is to write answers.
    """
    assert isinstance(model, CausalLM), "a network with a head has no distribution of words"
    objective: Any = opened.recipe.objective
    if objective.sampled:
        _refuse_unasked(opened)
    teacher = open_teacher(objective.teacher, opened)
    known = min(m.network.get_input_embeddings().num_embeddings for m in (model, teacher))

    def ask(packed: TokenBatch) -> tuple[Tensor, Tensor]:
        packed = packed.to(opened.device)
        said = teacher.distributions(packed, known)
        if objective.divergence == "forward":
            choices, logprobs = teachers(said, objective.top)
        else:  # where the student is and the teacher is not decides as well
            with evaluating(model):
                choices, logprobs = both(said, model.distributions(packed, known), objective.top)
        return choices.cpu(), logprobs.cpu()

    own = Own(_writing(opened, model), objective.sampled, opened.recipe.train.seed) if objective.sampled else None
    return Taught(ask, opened.tokens_per_pass, share, own)


def _refuse_unasked(opened: "Opened") -> None:
    """Raises UserError for rows that ask nothing."""
    if opened.prepared.facts["format"] == "text":
        raise UserError(
            "objective.sampled: the rows are plain text, which asks nothing that the base could answer; remove it, or "
            "give rows with a prompt"
        )
    for example in opened.prepared.train:
        prompt_of(example)


def _writing(opened: "Opened", model: CausalLM) -> Any:
    writer = Writer(opened)

    def write(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Sequence[Written]:
        return writer.write(model, prompts, seeds)

    return write


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
