"""Answers that fit a JSON schema, from models that know nothing of JSON."""

import json
import sys
from typing import Any

import pytest

from tests.families import tiny, tiny_tokenizer
from tunesmith.core.errors import UserError
from tunesmith.models.constrained import compiled
from tunesmith.models.generate import Sampling, generate

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"]},
        "score": {"type": "integer", "minimum": 0, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["label", "score", "tags"],
    "additionalProperties": False,
}
PROMPTS = [[5, 6, 7], [9], [3, 1, 4]]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_fit_the_schema(family: str, temperature: float) -> None:
    tokenizer = tiny_tokenizer()
    sampling = Sampling(tokens=100, temperature=temperature, schema=SCHEMA, seed=2)
    stop = {tokenizer.eos_token_id}
    written = generate(tiny(family), PROMPTS, stop, sampling, at_once=2, tokenizer=tokenizer)
    for one in written:
        assert one.ended and one.text is not None
        found = json.loads(one.text)
        assert set(found) == {"label", "score", "tags"}
        assert found["label"] in ("good", "bad") and 0 <= found["score"] <= 5 and len(found["tags"]) <= 2
        assert one.answer == [token for token in one.tokens if token not in stop]
    alone = generate(tiny(family), PROMPTS[1:2], stop, sampling, seeds=[1], tokenizer=tokenizer)
    assert alone[0].tokens == written[1].tokens


def test_a_text_that_may_go_on_ends_with_the_stop_token() -> None:
    tokenizer = tiny_tokenizer()
    sampling = Sampling(tokens=60, temperature=1.0, schema={"type": "integer", "maximum": 10**6})
    written = generate(tiny("llama"), PROMPTS, {tokenizer.eos_token_id}, sampling, tokenizer=tokenizer)
    for one in written:
        assert one.ended and int(one.text or "") <= 10**6


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([1], "a schema is a JSON object"),
        ({"type": "nonsense"}, "Invalid type: nonsense"),
        ({"$ref": "#/nowhere"}, "/nowhere"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "greater than"),
        ({"type": "array", "contains": {}}, "contains"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compiled(schema)


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UserError, match="pip install llguidance"):
        compiled({})
