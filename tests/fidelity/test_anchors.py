"""The scale of likeness: real pictures above tuned above base, and down for the wrong subject."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fidelity.drawn import coarse, face
from tunesmith.core.errors import UserError
from tunesmith.fidelity.anchors import Anchors, closest, diversity, nearest
from tunesmith.fidelity.things import cut_out

COLOURS = ("orange", "purple", "teal")  # who: the first is the subject


def vectors(*pictures: np.ndarray) -> np.ndarray:
    return coarse(np.stack([cut_out(picture) for picture in pictures]))


def anchors(who: str = "orange") -> Anchors:
    real = vectors(*(face(who, seed) for seed in range(4)))
    return Anchors.of(real, vectors(*(face("grey", seed) for seed in range(4))))


def mixed(share: float, seed: int) -> np.ndarray:
    """Between another of the class and the subject, in another setting, as a model paints that has learned a part."""
    how = {"side": 30, "at": (4, 20), "behind": "skyblue"}
    one, other = (face(colour, seed, **how).astype(float) for colour in ("orange", "grey"))
    return (share * one + (1 - share) * other).astype(np.uint8)


def test_real_is_above_tuned_and_tuned_above_base():
    scale = anchors()
    real, tuned, base = (
        float(scale.likeness(vectors(*pictures)).mean())
        for pictures in (
            [face("orange", seed, behind="green") for seed in range(10, 14)],
            [mixed(0.4, seed) for seed in range(10, 14)],
            [mixed(0.0, seed) for seed in range(10, 14)],
        )
    )
    assert real > tuned + 0.1 and tuned > base + 0.1
    assert abs(base) < 0.25 and abs(real - 1) < 0.25, "the ends of the scale are where they should be"


@pytest.mark.parametrize("who", COLOURS[1:])
def test_the_wrong_subject_is_far_down(who):
    scale = anchors()
    right, wrong = (float(scale.likeness(vectors(*(face(one, s) for s in range(3)))).mean()) for one in ("orange", who))
    assert wrong < 0.5 < right


def test_the_ends_are_what_they_say():
    scale = anchors()
    others = vectors(*(face("grey", seed) for seed in range(4)))
    assert scale.likeness(others).mean() == pytest.approx(0, abs=1e-6)
    rest = [scale.real @ np.delete(scale.real, place, 0).T for place in range(len(scale.real))]
    each = np.mean([row[place].mean() for place, row in enumerate(rest)])
    assert each == pytest.approx(scale.ceiling, abs=1e-6)


def test_a_copy_is_nearer_than_two_real_pictures_are():
    real = anchors().real
    copy, other = nearest(vectors(face("orange", 2), face("orange", 4)), real)
    assert copy == pytest.approx(1) and copy > closest(real) > other - 0.01


def test_what_cannot_be_told_is_refused():
    real = vectors(face("orange", 0), face("grey", 1))
    with pytest.raises(UserError, match="cannot tell it"):
        Anchors.of(real, vectors(face("orange", 0)))
    with pytest.raises(UserError, match="two distinct ones"):
        Anchors.of(real[:1], real)


@given(st.integers(2, 6))
def test_one_picture_over_and_over_has_no_diversity(count):
    same = np.repeat(vectors(face("orange", 0)), count, 0)
    assert diversity(same) == pytest.approx(0, abs=1e-6)
    assert diversity(vectors(*(face(colour, 0) for colour in COLOURS))) > 0.05
