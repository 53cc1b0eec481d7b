"""The base and the tuned model of a run, one beside the other, and what can be asked of either."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.batch import Example, pack
from tunesmith.data.encode import Encoder
from tunesmith.data.forms import Conversation, Message
from tunesmith.data.rows import Row
from tunesmith.evaluate.score import classify, score_examples
from tunesmith.methods.activity import base_only
from tunesmith.models.generate import Sampling, generate
from tunesmith.models.language import CausalLM, Packed
from tunesmith.opening import Opened, reopen


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the answers that may follow it, as tokens."""

    prompt: list[int]
    choices: list[list[int]]


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    model: Packed
    opened: Opened
    encoder: Encoder

    @property
    def device(self) -> torch.device:
        return self.opened.device

    @property
    def writer(self) -> CausalLM:
        assert isinstance(self.model, CausalLM), "a suite that needs text is not asked of a network with a head"
        return self.model

    def text(self, text: str) -> Example:
        """-> `text` as an example all of which is scored, behind the token that begins a text."""
        tokenizer = self.opened.base.tokenizer
        tokens = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        first = next((t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id) if t is not None), tokens[0])
        return Example([first, *tokens], [False, *[True] * len(tokens)], 0)

    def asked(self, prompt: str) -> list[int]:
        """-> the tokens of a question of the user, as the run would be asked it."""
        row = Row("suites", 1, {})
        return self.encoder.asked(Conversation(row, (Message("user", prompt),), plain=prompt + "\n"))

    def ended(self, answer: str) -> list[int]:
        """-> the tokens of an answer and of its end."""
        tokens = list(self.opened.base.tokenizer(answer, add_special_tokens=False)["input_ids"])
        return [*tokens, *([self.encoder.stop] if self.encoder.stop is not None else [])]

    def surprise(self, examples: Sequence[Example]) -> list[tuple[float, int]]:
        """-> the sum of -log p over the scored tokens of each, and their number."""
        return score_examples(self.model, examples, self.opened.tokens_per_pass, self.device)

    def chosen(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        """-> for each question the log-probability of each of its answers."""
        found = classify(self.model, questions, self.opened.tokens_per_pass, self.device)
        return [choice.scores for choice in found]

    def distribution(self, example: Example) -> Tensor:
        """-> (L, V): of the scored tokens of one example, what the model would rather have had."""
        return self.writer.distribution(pack([example]).to(self.device)).cpu()

    def written(self, prompts: Sequence[list[int]], tokens: int) -> list[tuple[str, bool]]:
        """-> the likeliest answer to each prompt, and whether it ended by itself."""
        tokenizer = self.opened.base.tokenizer
        stop = {token for token in (self.encoder.stop, tokenizer.eos_token_id) if token is not None}
        found = generate(self.model.network, prompts, stop, Sampling(tokens=tokens), tokenizer=tokenizer)
        return [((one.text or "").strip(), one.ended) for one in found]


@dataclass
class Sides:
    """Both models. After full fine-tuning they are two networks, and the base is opened when it is first asked."""

    opened: Opened
    model: Packed  # the tuned one
    encoder: Encoder
    _base: list[Packed] = field(default_factory=list)

    @property
    def tuned(self) -> Side:
        return Side(self.model, self.opened, self.encoder)

    @contextmanager
    def base(self) -> Iterator[Side]:
        with ExitStack() as stack:
            if self.opened.recipe.method.kind != "full":
                stack.enter_context(base_only(self.model.network))
                yield self.tuned
                return
            if not self._base:
                self._base.append(type(self.model)(reopen(self.opened), self.model.way).eval())
            yield Side(self._base[0], self.opened, self.encoder)

    def each(self, ask: Callable[[Side], list[Any]]) -> list[tuple[Any, Any]]:
        """-> what `ask` has of the base and of the tuned model, in pairs."""
        with self.base() as base:
            first = ask(base)
        return list(zip(first, ask(self.tuned), strict=True))
