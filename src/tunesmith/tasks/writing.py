"""A model that writes answers to learn from: drawn from itself as it is, nothing cut off, by our own generator."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunesmith.models.generate import generate
from tunesmith.models.language import CausalLM
from tunesmith.models.sampling import Sampling

if TYPE_CHECKING:
    from tunesmith.opening import Opened

AT_ONCE = 32  # answers that are written side by side


@dataclass
class Writer:
    """Writes answers of at most `objective.answer_tokens`."""

    opened: "Opened"

    @cached_property
    def stop(self) -> set[int]:
        ends = (self.opened.prepared.stop, self.opened.base.tokenizer.eos_token_id)
        return {token for token in ends if token is not None}

    def write(
        self, model: CausalLM, prompts: Sequence[Sequence[int]], seeds: Sequence[int] | None, *, to_the_end: bool = True
    ) -> list[Any]:
        """-> answers drawn from the policy itself, or with no `seeds` the likeliest ones.

        `to_the_end`: they end where the model ends them; else all are as long as they may be.
        """
        sampling = Sampling(
            tokens=self.opened.recipe.objective.answer_tokens,  # type: ignore[union-attr]
            temperature=0.0 if seeds is None else 1.0,
        )
        stop = self.stop if to_the_end else set()
        with evaluating(model):
            return generate(model.network, prompts, stop, sampling, seeds=seeds, at_once=AT_ONCE)

    def text(self, tokens: Sequence[int]) -> str:
        words = list(tokens[:-1] if tokens and tokens[-1] in self.stop else tokens)
        return str(self.opened.base.tokenizer.decode(words, skip_special_tokens=True)).strip()


@contextmanager
def evaluating(model: CausalLM) -> Iterator[None]:
    """No dropout inside, whatever training is under way."""
    learning = model.learning
    model.eval()
    try:
        yield
    finally:
        model.train(learning)
