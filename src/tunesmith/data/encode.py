"""One typed row into tokens: what the model reads, which of it is trained, and what to ask when it is judged."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.core.answers import Asked, tree
from tunesmith.core.batch import Example
from tunesmith.core.errors import UserError
from tunesmith.core.targets import Target
from tunesmith.data.chat import ChatTemplate, Rendered, Span
from tunesmith.data.config import Data
from tunesmith.data.forms import Conversation, Form, Judged, Labelled, Prompt, Text, Told
from tunesmith.data.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_Cut = tuple[Example, Rendered, Conversation]
_UNBOUNDED = 10**9  # tokenizers without a length say 1e30

SAME = "all answers are the same"
SPACES = "the answers differ only in white space"
SWAPPED = "the rejected answer has the higher score"
ODD = (SAME, SPACES, SWAPPED)
"""What is told about rows that compare answers."""


@dataclass(frozen=True)
class Item:
    """A question with its known answer."""

    row: int
    prompt: list[int]  # with the generation prompt
    prompt_text: str  # the user's words, for showing
    answer: str
    label: str | None
    choices: list[list[int]]  # of labelled text: what the model would write for each label, with the stop token


@dataclass(frozen=True)
class Encoded:
    """What one row became: one example (plain text: one for each block), and the question it holds."""

    examples: list[Example]
    item: Item | None


class Encoder:
    """Rows into tokens for one tokenizer. `counts` holds what happened: dropped, truncated, last turn only."""

    def __init__(self, config: Data, tokenizer: "PreTrainedTokenizerBase", context: int | None) -> None:
        if not tokenizer.is_fast:
            raise UserError("the base's tokenizer has no tokenizer.json, which is needed to tell the trained tokens")
        self.counts: Counter[str] = Counter()
        self.cut: dict[str, list[Row]] = {}  # which rows were dropped or truncated
        self.longest = (0, "")  # tokens, and the place of the row
        self.most = _longest(config, tokenizer, context)
        self._config = config
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer) if tokenizer.chat_template else None
        # Encoders have no end of text, but a separator that stands there.
        end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        self._eos: list[int] = [] if end is None else [end]
        first = tokenizer("a")["input_ids"][0]
        self._bos: list[int] = [first] if first in (tokenizer.bos_token_id, tokenizer.cls_token_id) else []
        self._choices: list[list[int]] = []

    @property
    def dated(self) -> bool:
        """True when the chat template writes the day's date."""
        return self._template is not None and self._template.dated

    @property
    def stop(self) -> int | None:
        """The token that ends an answer."""
        if self._template is not None and (found := self._template.stop_token) is not None:
            return found
        return self._eos[0] if self._eos else None

    def encoded(self, form: Form, ask: bool) -> Encoded | None:
        """-> the tokens of a row, with its question if `ask`; None when it is too long and is dropped."""
        if isinstance(form, Text):
            return self._text(form)
        if isinstance(form, Told):
            return self._told(form, ask)
        if isinstance(form, Judged):
            return self._judged(form, ask)
        if isinstance(form, Prompt):
            return self._prompt(form)
        conversation = form.conversation() if isinstance(form, Labelled) else form
        example, rendered = self._example(conversation)
        self._measure(example, form)
        if self.most is not None and len(example) > self.most:
            shorter = self._shorter(form, example)
            if shorter is None:
                return None
            example, rendered, conversation = shorter
        self.counts["last turn only"] += rendered.last_only
        self.counts["opening"] += rendered.opening
        return Encoded([example], self._item(form, conversation, example, rendered) if ask else None)

    def asked(self, conversation: Conversation) -> list[int]:
        """-> what the model reads before it answers `conversation`, whose last message is not the assistant's."""
        conversation = conversation.with_system(self._config.system)
        if self._template is not None:
            return self._tokens(self._template.asked(conversation))[0]
        if conversation.plain is None:
            raise UserError(
                f"{conversation.row.place}: the base's tokenizer has no chat template: it continues one text, and "
                "knows no turns and no system message"
            )
        return self._bos + self._tokens(conversation.plain)[0]

    # Texts that a head scores

    def _told(self, form: Told, ask: bool) -> Encoded | None:
        """-> the text alone, with what the tokenizer itself puts around it; cut at its end."""
        tokens = self.read(form.asking)
        self._measure(Example(tokens, [False] * len(tokens), form.row.number), form)
        if self.most is not None and len(tokens) > self.most:
            if self._config.too_long == "refuse":
                where = f"{len(tokens)} tokens where {self.most} fit"
                raise UserError(f"{form.row.place}: {where}; set data.too_long to truncate or drop")
            self._note("too long" if self._config.too_long == "drop" else "truncated", form)
            if self._config.too_long == "drop":
                return None
            tokens = self.read(form.asking, self.most)
        example = Target(tokens, [False] * len(tokens), form.row.number, target=form.target)
        shown = f"{form.target:g}" if form.label is None else form.label
        item = Item(form.row.number, tokens, form.asking.asked(), shown, form.label, [])
        return Encoded([example], item if ask else None)

    def read(self, asking: Labelled, most: int | None = None) -> list[int]:
        """-> a text as a head reads it, in at most so many tokens. The text gives way, and not what stands behind it.

        Raises UserError when the template leaves no room for a text.
        """
        tokens = self._as_it_is(asking.asked())
        if most is None or len(tokens) <= most:
            return tokens
        ends = [end for _, end in self._offsets(asking.text)]
        keep = len(ends)
        while len(tokens) > most:
            keep -= len(tokens) - most
            if keep < 1:
                raise UserError(f"{asking.row.place}: {most} tokens fit, and data.template alone takes them all")
            tokens = self._as_it_is(asking.asked(asking.text[: ends[keep - 1]].rstrip()))
        return tokens

    def _as_it_is(self, text: str) -> list[int]:
        return list(self._tokenizer(text, verbose=False)["input_ids"])

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(found["offset_mapping"])

    # Answers to be compared, and prompts to be answered

    def _judged(self, form: Judged, ask: bool) -> Encoded | None:
        """-> one tree, the answers its branches. A row whose answers are all alike teaches nothing and is dropped."""
        parts = [self._fitting(conversation) for conversation in form.answers]
        if None in parts:
            return None
        answers = [part for part in parts if part is not None]
        if len(answers) > 1 and all(list(a[0].tokens) == list(answers[0][0].tokens) for a in answers):
            self._note(SAME, form)
            return None
        said = [" ".join(conversation.messages[-1].content.split()) for conversation in form.answers]
        if any(said[a] == said[b] for a, b in form.better):
            self._note(SPACES, form)
        if any(margin < 0 for margin in form.margins):
            self._note(SWAPPED, form)
        made = tree(
            [example for example, _, _ in answers], better=form.better, margins=form.margins, wanted=form.wanted
        )
        if not ask:
            return Encoded([made], None)
        place = form.answers.index(form.best)
        example, rendered, conversation = answers[place]
        return Encoded([made], self._item(conversation, conversation, example, rendered))

    def _fitting(self, conversation: Conversation) -> _Cut | None:
        """-> the tokens of one answer with its prompt, cut when it is too long; None when the row is dropped."""
        example, rendered = self._example(conversation)
        self._measure(example, conversation)
        if self.most is None or len(example) <= self.most:
            return example, rendered, conversation
        return self._shorter(conversation, example)

    def _prompt(self, form: Prompt) -> Encoded | None:
        """-> the prompt alone. One that fills what the model reads leaves no room for an answer."""
        tokens = self.asked(form.conversation)
        self._measure(Example(tokens, [False] * len(tokens), form.row.number), form)
        if self.most is not None and len(tokens) >= self.most:
            if self._config.too_long == "drop":
                self._note("too long", form)
                return None
            raise UserError(
                f"{form.row.place}: the prompt has {len(tokens)} tokens, and prompt and answer together may have "
                f"{self.most}; shorten it, or set data.too_long: drop"
            )
        said = next((turn.content for turn in reversed(form.conversation.messages) if turn.role == "user"), "")
        asked = Asked(tokens, [False] * len(tokens), form.row.number, None, said, form.row.values)
        return Encoded([asked], Item(form.row.number, tokens, said, "", None, []))

    # Length

    def _measure(self, example: Example, form: Form) -> None:
        if len(example) > self.longest[0]:
            self.longest = len(example), form.row.place

    def _shorter(self, form: Conversation | Labelled, example: Example) -> _Cut | None:
        """-> the row cut to the longest length, or None when it is dropped."""
        assert self.most is not None
        if self._config.too_long == "refuse":
            raise UserError(
                f"{form.row.place}: {len(example)} tokens where {self.most} fit; "
                "set data.too_long to drop or truncate, or raise data.max_length if the model reads more"
            )
        if self._config.too_long == "drop":
            self._note("too long", form)
            return None
        cut = self._cut_text(form, example) if isinstance(form, Labelled) else self._cut_end(form, example)
        self._note("truncated" if cut else "nothing trained after truncation", form)
        return cut

    def _note(self, what: str, form: Form) -> None:
        self.counts[what] += 1
        self.cut.setdefault(what, []).append(form.row)

    def _cut_end(self, form: Conversation, example: Example) -> _Cut | None:
        short = Example(example.tokens[: self.most], example.trained[: self.most], example.row)
        return (short, self._rendered(form)[0], form) if any(short.trained) else None

    def _cut_text(self, form: Labelled, example: Example) -> _Cut | None:
        """The end of a labelled row holds its label, so that the text before it gives way."""
        assert self.most is not None
        offsets = self._offsets(form.text)
        keep, over = len(offsets), len(example) - self.most
        while over > 0:
            keep -= over
            if keep < 1:
                return None
            conversation = form.conversation(form.text[: offsets[keep - 1][1]].rstrip())
            shorter, rendered = self._example(conversation)
            over = len(shorter) - self.most
        return shorter, rendered, conversation

    # Tokens

    def _text(self, form: Text) -> Encoded:
        tokens = self._bos + self._tokens(form.text)[0] + self._eos
        if len(tokens) < 2:
            raise UserError(f"{form.row.place}: no token would be trained")
        most = min(self.most or len(tokens), len(tokens))
        # Neighbours share one token, so that each token but the first is learned once.
        blocks = [tokens[at : at + most] for at in range(0, len(tokens) - 1, most - 1)]
        examples = [Example(block, [False] + [True] * (len(block) - 1), form.row.number) for block in blocks]
        self.counts["cut into blocks"] += len(blocks) > 1
        if len(tokens) > self.longest[0]:
            self.longest = len(tokens), form.row.place
        return Encoded(examples, None)

    def _rendered(self, conversation: Conversation) -> tuple[Rendered, list[int], list[int]]:
        """-> the text, and the tokens to put before and behind it."""
        conversation = conversation.with_system(self._config.system)
        if self._template is not None:
            rendered = self._template.rendered(conversation, self._config.train_on == "all")
            behind = self._eos if self._template.stop_token is None else []
            self.counts["end added"] += bool(behind)
            return rendered, [], behind
        if conversation.plain is None:
            raise UserError(
                f"{conversation.row.place}: a conversation needs a chat template, and the base's tokenizer has none; "
                "use an instruction-tuned base, or prompt and completion"
            )
        before, text = conversation.plain, conversation.plain + conversation.messages[-1].content
        start = 0 if self._config.train_on == "all" else len(before)
        return Rendered(text, (Span(start, len(text), len(text)),), before), self._bos, self._eos

    def _example(self, conversation: Conversation) -> tuple[Example, Rendered]:
        rendered, before, behind = self._rendered(conversation)
        tokens, trained = self._masked(rendered, conversation.row.place)
        if conversation.messages[-1].weight == 0:
            behind = []
        trained = [False] * len(before) + trained + [True] * len(behind)
        trained[0] = False  # nothing comes before the first token that could predict it
        if not any(trained):
            raise UserError(f"{conversation.row.place}: no token would be trained")
        return Example(before + tokens + behind, trained, conversation.row.number), rendered

    def _masked(self, rendered: Rendered, place: str) -> tuple[list[int], list[bool]]:
        tokens, offsets = self._tokens(rendered.text)
        trained = [False] * len(tokens)
        spans = iter(rendered.spans)
        span = next(spans)
        reached = (
            0  # byte-level tokenizers leave leading spaces out of the offsets: a token begins where the last ended
        )
        for t, (start, stop) in enumerate(offsets):
            start = min(start, reached)
            reached = max(reached, stop)
            while span.stop <= start and (following := next(spans, None)) is not None:
                span = following
            trained[t] = span.start <= start < stop <= span.stop
        for span in rendered.spans:
            if span.ends < span.stop:
                trained[_stop_token(offsets, span, place)] = True
        return tokens, trained

    def _tokens(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return encoding["input_ids"], encoding["offset_mapping"]

    # Questions

    def _item(self, form: Form, conversation: Conversation, example: Example, rendered: Rendered) -> Item:
        prompt = self._tokens(rendered.prompt)[0]
        if self._template is None:
            prompt = self._bos + prompt
        answer = conversation.messages[-1]
        asked = next((turn.content for turn in reversed(conversation.messages) if turn.role == "user"), "")
        shown = answer.content or json.dumps([dict(call["function"]) for call in answer.tool_calls], ensure_ascii=False)
        if not isinstance(form, Labelled):
            return Item(example.row, prompt, asked, shown, None, [])
        return Item(example.row, prompt, asked, shown, form.label, self._label_tokens(form, example))

    def _label_tokens(self, form: Labelled, example: Example) -> list[list[int]]:
        """-> for each label, the tokens that would be trained if it were the row's."""
        own = form.labels.index(form.label)
        learned = [token for token, trained in zip(example.tokens, example.trained, strict=True) if trained]
        if self._config.train_on == "all" or not self._choices or self._choices[own] != learned:
            self._choices = [self._label_part(form, label) for label in form.labels]
        return self._choices

    def _label_part(self, form: Labelled, label: str) -> list[int]:
        conversation = form.conversation(label=label)
        rendered, _, behind = self._rendered(conversation)
        if self._config.train_on == "all":
            span = Span(len(rendered.prompt), len(rendered.text), len(rendered.text))
            rendered = Rendered(rendered.text, (span,), rendered.prompt)
        tokens, trained = self._masked(rendered, form.row.place)
        return [token for token, learned in zip(tokens, trained, strict=True) if learned] + behind


def _stop_token(offsets: Sequence[tuple[int, int]], span: Span, place: str) -> int:
    """-> the index of the stop token of a turn. It may swallow spaces around it, and still must be learned."""
    for t, (start, stop) in enumerate(offsets):
        if start <= span.ends and span.stop <= stop:
            return t
    raise UserError(f"{place}: the stop token of the chat template is not one token of the tokenizer")


def _longest(config: Data, tokenizer: "PreTrainedTokenizerBase", context: int | None) -> int | None:
    if context is None and tokenizer.model_max_length < _UNBOUNDED:
        context = int(tokenizer.model_max_length)
    if config.max_length is not None and context is not None and config.max_length > context:
        raise UserError(f"data.max_length: {config.max_length} is more than the {context} tokens that the model reads")
    return context if config.max_length is None else config.max_length
