"""What the model never sees: the subjects that a user is to teach it, their doubles, and one whole style."""

STYLE = "twemoji"
TRAINED = ("3d", "flat", "noto")

SUBJECTS = {
    "cat": ("1f63a", "1f638", "1f639", "1f63b", "1f63c", "1f63d", "1f640", "1f63f", "1f63e"),
    "monkey": ("1f648", "1f649", "1f64a"),
    "globe": ("1f30d", "1f30e", "1f30f"),
    "moon": ("1f31a", "1f31b", "1f31c", "1f31d"),
}
"""Characters that a set draws in several poses, by code point. None of them is in training, in any style."""

DOUBLES = {("3d", "1f431"), ("3d", "1f435"), ("flat", "1f431"), ("flat", "1f435")}
"""Fluent draws the plain cat face and the monkey face as the very characters above; Noto's are other animals."""

_SUBJECTS = frozenset(code for codes in SUBJECTS.values() for code in codes)


def is_held(style: str, code: str) -> bool:
    """Whether a picture is kept from training. `code` is in hexadecimal, without variation selectors."""
    return style not in TRAINED or code in _SUBJECTS or (style, code) in DOUBLES
