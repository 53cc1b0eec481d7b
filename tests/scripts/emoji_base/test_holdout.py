from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from scripts.emoji_base import drawings
from scripts.emoji_base.drawings import SIDE, Emoji
from scripts.emoji_base.holdout import DOUBLES, STYLE, SUBJECTS, TRAINED, is_held
from scripts.emoji_base.prompts import CODES, COUNT

KEPT = ("1f408", "1f412", "1f600")


def test_no_held_picture_comes_into_training(monkeypatch: pytest.MonkeyPatch):
    codes = [code for codes in SUBJECTS.values() for code in codes] + [code for _, code in DOUBLES] + [*KEPT]

    def every(_: Path, style: str) -> Iterator[tuple[Emoji, Image.Image]]:
        for code in codes:
            yield Emoji(code, code, "Animals & Nature", (), style), Image.new("RGBA", (SIDE, SIDE))

    monkeypatch.setattr(drawings, "emoji", every)
    kept, pictures = drawings.trained(Path())
    seen = {(one.style, one.code) for one in kept}
    assert len(kept) == len(pictures)
    assert seen >= {(style, code) for style in TRAINED for code in KEPT}
    assert not any(code in codes for _, code in seen for codes in SUBJECTS.values())
    assert not seen & DOUBLES and STYLE not in {style for style, _ in seen}
    assert ("noto", "1f431") in seen  # another animal than the subject


def test_held_subjects_are_distinct_and_not_asked_for():
    subjects = [code for codes in SUBJECTS.values() for code in codes]
    assert len(set(subjects)) == len(subjects) == 19
    assert len(set(CODES)) == len(CODES) == COUNT
    assert not any(is_held(style, code) for style in TRAINED for code in CODES)
