import pytest
from pydantic import ValidationError

from tunesmith.pictures.config import Pictures


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train": ""}, "no empty name"),
        ({"train": ()}, "at least one folder"),
        ({"train": ("a", "a")}, "named twice"),
        ({"masks": " "}, "no empty name"),
        ({"split": 1.0}, "data.split: 1.0 must be a share"),
        ({"caption_dropout": -0.1}, "data.caption_dropout: -0.1"),
        ({"size": 8}, "data.size: 8 must be at least 16"),
        ({"variants": 0}, "data.variants: 0 must be at least 1"),
        ({"limit": 0}, "data.limit: 0 must be at least 1"),
        ({"repeats": 0}, "data.repeats: 0 must be at least 1"),
        ({"repeats": {"x": 0}}, "data.repeats.x: 0 must be at least 1"),
        ({"keep_tags": -1, "shuffle_captions": True}, "data.keep_tags: -1 must be at least 0"),
        ({"keep_tags": 2}, "data.keep_tags: only for data.shuffle_captions=true"),
        ({"background": "whit"}, "data.background: `whit` is not a colour"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused(values: dict, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Pictures(**({"train": "x"} | values))
    assert words in str(caught.value)


def test_variants_are_kept_only_where_they_differ() -> None:
    assert Pictures(train="x", variants=7).kept == 1
    for how in ({"crop": "random"}, {"flip": True}, {"shuffle_captions": True}, {"background": "random"}):
        assert Pictures(train="x", variants=7, **how).kept == 7


def test_sources_are_one_or_several() -> None:
    assert Pictures(train="a").sources == ("a",) and Pictures(train=("a", "b")).sources == ("a", "b")
