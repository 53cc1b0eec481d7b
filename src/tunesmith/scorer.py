"""A network that ends in scores, to use: the label, the value or the reward of texts.

scorer = load_scorer("runs/sentiment")
scorer.score(["It helped within a day."])          # [{"label": "positive", "probabilities": {...}}]
load_scorer("runs/reward").rewards([("A question", "an answer")])
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.attached import attach_adapter
from tunesmith.bases import load_base
from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.batch import Example, pack
from tunesmith.core.errors import UserError
from tunesmith.core.headed import Head
from tunesmith.data.config import Data
from tunesmith.data.encode import Encoder
from tunesmith.data.forms import Conversation, Labelled, Message
from tunesmith.data.rows import Row
from tunesmith.evaluate.score import grouped
from tunesmith.export.adapter import adapter_head, base_quantize
from tunesmith.export.peft_config import NAME as ADAPTER
from tunesmith.loaded import base_of, finished_run
from tunesmith.models.classes import folder_head
from tunesmith.models.load import Place, Say
from tunesmith.models.load import load_base as load_place
from tunesmith.models.scored import Scored
from tunesmith.opening import RECIPE
from tunesmith.recipe import Recipe

TOKENS = 4096  # of one pass


@dataclass(frozen=True)
class Scorer:
    """Scores texts. What it was trained on tells which of the two methods it has a use for."""

    model: Scored
    head: Head
    name: str
    encoder: Encoder
    template: str | None = None

    @property
    def rewards_answers(self) -> bool:
        """Whether it reads a prompt with an answer, and not a text alone."""
        return self.head.labels == ("reward",)

    def score(self, texts: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
        """-> of each text its `label` and the `probabilities` of all, or its `value`.

        A mapping has the `text` and the other columns that the template of the training names.
        """
        if self.rewards_answers:
            raise UserError(f"{self.name}: a reward model reads a prompt with its answer; give both")
        scores = self._scores([self._asked(text, number) for number, text in enumerate(texts, 1)])
        return [self._told(one) for one in scores]

    def rewards(self, answers: Sequence[tuple[str, str]]) -> list[float]:
        """-> the reward of each answer, given as (prompt, answer)."""
        if not self.rewards_answers:
            raise UserError(f"{self.name}: no reward model; it scores texts")
        return [float(one[0]) for one in self._scores([self._answered(*pair) for pair in answers])]

    def _scores(self, rows: Sequence[list[int]]) -> list[Tensor]:
        examples = [Example(tokens, [False] * len(tokens), row) for row, tokens in enumerate(rows)]
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        device = next(self.model.parameters()).device
        for group in grouped(examples, TOKENS):
            with torch.no_grad():
                scores = self.model(pack([examples[place] for place in group]).to(device)).cpu()
            for place, one in zip(group, scores, strict=True):
                found[place] = one
        return found

    def _told(self, scores: Tensor) -> dict[str, Any]:
        if self.head.problem == "regression":
            return {"value": self.head.scale.mean + self.head.scale.deviation * float(scores[0])}
        sure = scores.double().softmax(-1).tolist()
        label = self.head.labels[sure.index(max(sure))]
        return {"label": label, "probabilities": dict(zip(self.head.labels, sure, strict=True))}

    def _asked(self, given: str | Mapping[str, Any], number: int) -> list[int]:
        values = {"text": given} if isinstance(given, str) else dict(given)
        text = values.get("text")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"text {number}: `text` must be a text, and not empty")
        row = Row("texts", number, values)
        asking = Labelled(row, text, "", self.head.labels, self.template or "{text}")
        return self.encoder.read(asking, self.encoder.most)

    def _answered(self, prompt: str, answer: str) -> list[int]:
        if not prompt.strip() or not answer.strip():
            raise UserError("reward: prompt and answer must not be empty")
        turns = (Message("user", prompt), Message("assistant", answer))
        encoded = self.encoder.encoded(Conversation(Row("answers", 1, {}), turns, plain=prompt), ask=False)
        assert encoded is not None, "an answer that is too long is refused"
        return list(encoded.examples[0].tokens)


def load_scorer(place: str | Path, *, base: str | None = None, say: Say | None = None) -> Scorer:
    """The classifier, regression or reward model in `place`: a run, an adapter, or a plain model folder.

    `base`: what an adapter belongs to, when it lies elsewhere now. Raises UserError for what writes text.
    """
    folder, hear = Path(place), say or _silent
    recipe: Recipe | None = None
    artifact = folder
    if (folder / RECIPE).is_file():
        recipe, artifact = finished_run(folder)
        if recipe.objective.ending == "pictures":
            raise UserError(f"{place}: paints pictures and scores no text; use `tunesmith generate`")
    head = head_in(artifact)
    if head is None:
        raise UserError(f"{place}: writes text and scores none; use generate")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if (artifact / ADAPTER).is_file():
        name = base or (recipe.base if recipe else base_of(artifact))
        packed = base_quantize(artifact)
        opened = load_base(name, dtype=torch.float32, say=hear, quantize=packed, head=head)
        opened.network.to(device)
        attach_adapter(opened.network, artifact, fingerprint=opened.fingerprint)
    else:
        where = Place(str(place), artifact)
        opened = load_place(where, dtype=torch.float32, cache=default_cache(), say=hear, head=head)
        opened.network.to(device)
    data = (recipe.texts if recipe else Data(train="texts")).model_copy(
        update={
            "too_long": "refuse",
            "train_on": "assistant",
            "max_length": recipe.texts.max_length if recipe else None,
        }
    )
    encoder = Encoder(data, opened.tokenizer, opened.context)
    return Scorer(Scored(opened.network).eval(), head, str(place), encoder, data.template)


def head_in(folder: Path) -> Head | None:
    """-> the head that an adapter or a model folder brings, or None."""
    return adapter_head(folder) if (folder / ADAPTER).is_file() else folder_head(folder)


def _silent(line: str) -> None:
    """A program has no one to talk to."""
