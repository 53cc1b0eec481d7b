"""What prompts say and pixels prove: each colour, place and size, and no other."""

import numpy as np
import pytest
from PIL import Image

from tests.fidelity.drawn import EDGE, face
from tunesmith.fidelity.settings import TEMPLATES, settings_of, twin_of
from tunesmith.fidelity.slots import COLOURS, PLACES, Slots, kept, slots_of
from tunesmith.fidelity.things import cut_out, thing

WHERE = {"on the left": (2, 18), "on the right": (34, 18), "at the top": (18, 2), "at the bottom": (18, 34)}


def rgb(colour: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[colour])


def test_words_are_read():
    assert slots_of("a zwx cat, small, on the left, on an orange background") == Slots("orange", "on the left", "small")
    assert slots_of("a photo of a cat on a sofa") == Slots()
    assert slots_of("a cat on the left and a dog on the right, on a mauve background") == Slots()
    assert {slots_of(text).place for text in TEMPLATES} == {"", *PLACES}


@pytest.mark.parametrize("colour", [*COLOURS])
def test_a_background_is_its_own_colour_and_no_other(colour):
    thing_of = "#404a10" if colour in ("black", "brown", "green") else "#301008"
    picture = face(thing_of, 0, behind=rgb(colour), side=44)
    if colour in ("black", "brown"):
        picture = face("#ffe9c0", 0, behind=rgb(colour), side=44)
    said = {other: kept(picture, Slots(other))["background"] for other in COLOURS}
    assert said == {other: other == colour for other in COLOURS}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_its_own_and_no_other(place):
    picture = face("orange", 1, side=28, at=WHERE[place], behind=rgb("blue"))
    assert {other for other in PLACES if kept(picture, Slots(place=other))["place"]} == {place}
    assert kept(picture, Slots("blue", place, "small")) == {"background": True, "place": True, "size": True}
    assert kept(picture, Slots(size="large")) == {"size": False}


def test_a_shaded_background_is_plain_and_a_photograph_is_not():
    rows = np.linspace(1, 0.75, EDGE)[:, None, None]
    shaded = (np.broadcast_to(np.array(COLOURS["teal"]), (EDGE, EDGE, 3)) * rows).astype(np.uint8)
    assert thing(shaded) is None, "nothing stands before it"
    with_face = np.where((face("orange", 0, side=40) < 250).any(-1, keepdims=True), face("orange", 0, side=40), shaded)
    found = thing(with_face.astype(np.uint8))
    assert found is not None and 0.5 < found.side < 0.7
    noise = np.random.default_rng(0).integers(0, 256, (EDGE, EDGE, 3)).astype(np.uint8)
    assert thing(noise) is None and cut_out(noise) is noise
    assert kept(noise, Slots("red")) == {"background": False}


def test_what_is_cut_out_does_not_depend_on_where_it_stood():
    large, small = face("orange", 0), face("orange", 0, side=28, at=(30, 4), behind=rgb("purple"))
    one, other = (cut_out(picture).astype(float) for picture in (large, small))
    assert np.abs(one - other).mean() < 25 < np.abs(large.astype(float) - small).mean()
    assert Image.fromarray(cut_out(small)).getpixel((0, 0)) == (255, 255, 255)


def test_the_twin_speaks_of_the_class():
    assert twin_of("the zwx cat in the snow", "a zwx cat", "a cat") == "the cat in the snow"
    assert twin_of("a zwx cat", "a zwx cat", None) == "a zwx cat"
    assert twin_of("sks, small", "sks", "a person") == "a person, small"
    settings = settings_of("a zwx cat", "a cat")
    assert len(settings) == len(TEMPLATES) and settings[1].twin == "a cat, on a red background"
    assert [s.prompt for s in settings_of("a zwx cat", "a cat", ("x", "x", "y"))] == ["x", "y"]
