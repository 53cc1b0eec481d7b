from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.templates import tokenizer
from tunesmith.core.batch import Example
from tunesmith.data.show import spans

MADE = tokenizer(None)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_pieces_are_the_text(text: str, random) -> None:
    tokens = MADE(text, add_special_tokens=False)["input_ids"]
    example = Example(tokens, [random.random() < 0.5 for _ in tokens], 1)
    assert "".join(piece for piece, _ in spans(example, MADE)) == text


def test_pieces_are_trained_or_context() -> None:
    tokens = MADE("the cat", add_special_tokens=False)["input_ids"]
    example = Example(tokens, [False] + [True] * (len(tokens) - 1), 1)
    (first, no), (rest, yes) = spans(example, MADE)
    assert (no, yes) == (False, True) and first + rest == "the cat" and first
