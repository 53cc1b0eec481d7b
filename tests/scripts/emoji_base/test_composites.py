import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.emoji_base.composites import SIDE, Composite, compose
from tests.scripts.emoji_base.toys import drawings
from tunesmith.fidelity.slots import COLOURS

EVERY, PICTURES = drawings()


def drawn(seed: int, index: int = 0) -> tuple[Composite, np.ndarray]:
    composite = compose(index, EVERY, np.random.default_rng(seed))
    return composite, composite.draw(PICTURES).astype(int)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), index=st.integers(0, len(EVERY) - 1))
def test_the_picture_is_what_its_slots_say(seed: int, index: int):
    composite, picture = drawn(seed, index)
    slots, one = composite.slots, EVERY[index]
    assert picture.shape == (SIDE, SIDE, 3)
    assert (slots.name, slots.style, slots.tags) == (one.name, one.style, one.tags)
    assert composite.parts[0][0] == index
    # The corners are the background that is named, whatever the shade.
    corner = picture[0, 0] if picture[0, 0].max() >= picture[-1, -1].max() else picture[-1, -1]
    nearest = min(COLOURS, key=lambda name: float(np.abs(np.array(COLOURS[name]) - corner).max()))
    assert nearest == slots.background
    middle = [(left + side / 2, up + side / 2) for _, side, left, up in composite.parts]
    if slots.place == "on the left":
        assert middle[0][0] < SIDE / 2 - 8
    if slots.place == "at the bottom":
        assert middle[0][1] > SIDE / 2 + 8
    if slots.second:
        other = EVERY[composite.parts[1][0]]
        assert (other.name, other.style) == (slots.second, slots.style) and other.code != one.code
        assert middle[0][0] < SIDE / 2 < middle[1][0]


def test_the_thing_itself_is_in_the_picture():
    for seed in range(20):
        composite, picture = drawn(seed, 3)
        _, side, left, up = composite.parts[0]
        assert picture[up + side // 2, left + side // 2] == pytest.approx([51, 204, 128], abs=2)


def test_a_seed_is_a_picture():
    assert np.array_equal(drawn(5)[1], drawn(5)[1])
    assert not np.array_equal(drawn(5)[1], drawn(6)[1])
