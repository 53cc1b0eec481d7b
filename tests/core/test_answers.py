from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.answers import Answers, PairBatch, RatedBatch, tree
from tunesmith.core.batch import IGNORED, Example

TOKENS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
"""Few values, so that answers often begin alike."""


def _example(prompt: list[int], answer: list[int], row: int = 1) -> Example:
    return Example([*prompt, *answer], [False] * len(prompt) + [True] * len(answer), row)


def _paths(one: Answers) -> list[tuple[list[int], list[bool]]]:
    """Each answer with what stands before it, read back from the tree."""
    return [(list(path.tokens), list(path.trained)) for path in one.paths]


@given(TOKENS, st.lists(TOKENS, min_size=1, max_size=4))
def test_a_tree_is_its_answers(prompt, answers):
    examples = [_example(prompt, answer) for answer in answers]
    one = tree(examples)
    assert _paths(one) == [(list(e.tokens), list(e.trained)) for e in examples]
    assert one.lengths == tuple(map(len, answers))
    assert sum(b == 0 for b in one.branches) == len(prompt) - 1  # shared, but for the token that answers follow


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_prompts_that_differ_share_what_is_equal(first, second, one, other):
    examples = [_example(first, one), _example(second, other)]
    assert _paths(tree(examples)) == [(list(e.tokens), list(e.trained)) for e in examples]


def _trees(counts: list[int], kind: str) -> list[Answers]:
    draw = torch.Generator().manual_seed(0)
    trees = []
    for row, count in enumerate(counts):
        prompt = torch.randint(1, 99, (3,), generator=draw).tolist()
        answers = [torch.randint(1, 99, (2 + k,), generator=draw).tolist() for k in range(count)]
        known = (
            {"better": tuple((0, k) for k in range(1, count))}
            if kind == "pairs"
            else {"wanted": tuple(k % 2 == 0 for k in range(count))}
        )
        trees.append(tree([_example(prompt, answer, row) for answer in answers], **known))
    return trees


@given(st.lists(st.integers(2, 4), min_size=1, max_size=5))
def test_each_label_belongs_to_its_answer(counts):
    trees = _trees(counts, "pairs")
    batch = PairBatch.of(trees, [(0.0,) * t.count for t in trees])
    assert batch.lengths().tolist() == [n for t in trees for n in t.lengths]
    labels = batch.packed.labels[batch.packed.labels != IGNORED]
    sums = batch.sums(labels.float())
    wanted = [sum(t for t, y in zip(tokens, learned, strict=True) if y) for t in trees for tokens, learned in _paths(t)]
    assert sums.tolist() == wanted
    assert batch.units == sum(len(t.better) for t in trees)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.sampled_from(["pairs", "rated"]))
def test_halves_are_the_whole(counts, kind):
    trees = _trees([max(n, 2) for n in counts] if kind == "pairs" else counts, kind)
    made = (PairBatch if kind == "pairs" else RatedBatch).of(trees, [tuple(map(float, range(t.count))) for t in trees])
    first, second = made.halves()
    assert first.trees + second.trees == made.trees
    assert torch.equal(torch.cat([first.reference, second.reference]), made.reference)
    assert first.units + second.units == made.units
    if kind == "pairs":
        assert torch.equal(torch.cat([first.pairs, second.pairs + len(first.reference)]), made.pairs)
    else:
        assert torch.equal(torch.cat([first.wanted, second.wanted]), made.wanted)
    assert type(made).of(trees[:1], [(0.0,) * trees[0].count]).halves() is None


def test_the_drift_of_a_step_is_that_of_its_halves():
    made = replace(RatedBatch.of(_trees([2, 2], "rated"), [(0.0, 0.0)] * 2), drift=torch.tensor(3.0))
    assert [float(half.drift) for half in made.halves()] == [3.0, 3.0]
    assert float(made.to(torch.device("cpu")).drift) == 3.0
