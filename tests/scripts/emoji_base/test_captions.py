import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scripts.emoji_base.captions import Slots, caption, vary, with_article
from tunesmith.fidelity.slots import COLOURS

CAT = Slots("cat face", "3d", ("pet", "animal", "whiskers"), "small", "on the left", "blue")


def test_a_caption_says_what_is_in_the_slots():
    assert caption(CAT) == "a 3d emoji of a cat face, pet, animal, whiskers, small, on the left, on a blue background"
    assert caption(Slots("owl")) == "an owl"
    assert caption(Slots("owl", background="orange", second="socks")) == (
        "an owl on the left and socks on the right, on an orange background"
    )


def test_articles():
    plain = ("cat", "owl", "compass", "octopus", "face with glasses")
    assert [with_article(name) for name in plain] == [
        "a cat", "an owl", "a compass", "an octopus", "a face with glasses",
    ]  # fmt: skip
    assert [with_article(name) for name in ("socks", "bubbles of soap")] == ["socks", "bubbles of soap"]


@given(seed=st.integers(0, 10_000), background=st.sampled_from([*COLOURS]))
def test_other_words_never_say_what_is_not_shown(seed: int, background: str):
    slots = Slots("cat face", "flat", ("pet", "animal", "whiskers"), "small", "on the left", background)
    varied = vary(slots, np.random.default_rng(seed))
    assert varied.name in ("cat face", "cat")
    assert varied.style in ("", "flat")
    assert set(varied.tags) <= set(slots.tags) and len(varied.tags) <= 2
    assert (varied.size, varied.place) == ("small", "on the left")
    assert varied.background == background or (background == "white" and varied.background == "")


def test_a_third_is_without_style_and_every_word_turns_up():
    rng = np.random.default_rng(0)
    seen = [vary(CAT, rng) for _ in range(600)]
    assert 0.27 < np.mean([one.style == "" for one in seen]) < 0.39
    assert {tag for one in seen for tag in one.tags} == set(CAT.tags)
