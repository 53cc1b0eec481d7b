"""Keys, tokens and passwords: known shapes, and values behind words such as `password` that look drawn by chance.

The chance of a value is measured by Shannon's entropy of its signs, in bits a sign.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from tunesmith.doctor.spans import Span

SECRET = "secret"

_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # Amazon
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}"
    r"|glpat-[\w-]{18,}"
    r"|sk-(?:ant-|proj-)?[\w-]{20,}"
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|AIza[\w-]{35}"  # Google
    r"|ya29\.[\w-]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}"  # SendGrid
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"  # JSON web tokens
    r")(?![A-Za-z0-9])"
)
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)", re.DOTALL)
_IN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,64}:([^\s:/@]{3,128})@")
_NAMED = re.compile(
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_ -]?key|access[_ -]?key|auth(?:orization)?|bearer|credential|"
    r"private[_ -]?key|kennwort|passwort|contraseña)s?[\w-]{0,12}"
    r"[\"']?\s{0,3}(?:[:=]|=>|\bis\b|\bist\b|bearer)\s{0,3}(?:bearer\s)?[\"'`]?([^\s\"'`,;]{6,200})",
    re.IGNORECASE,
)
_LONG = re.compile(r"(?<![\w/+.=-])[A-Za-z0-9+/_-]{32,}={0,2}(?![\w/+=-])")
_WORDS = ("pass", "pwd", "secret", "token", "key", "auth", "bearer", "credential", "kennwort", "contraseña")
_BEGINNINGS = (
    *(
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "sk-",
        "_live_",
        "_test_",
        "xox",
    ),
    *("AIza", "ya29.", "hf_", "npm_", "pypi-", "SG.", "eyJ"),
)
_DRAWN = 32
_NO_VALUE = re.compile(r"[<{\[$*]|x{4,}|\.\.\.|your|example|change", re.IGNORECASE)


def secrets(text: str) -> Iterator[Span]:
    """-> what in a text must not be known to others."""
    # Plain searches first: most texts hold none of these signs, and the expressions are slow.
    if any(sign in text for sign in _BEGINNINGS):
        yield from (Span(*match.span(), SECRET) for match in _SHAPES.finditer(text))
    if "PRIVATE KEY" in text:
        yield from (Span(*match.span(), SECRET) for match in _PRIVATE.finditer(text))
    if "://" in text:
        yield from (Span(*match.span(1), SECRET) for match in _IN_ADDRESS.finditer(text))
    small = text.lower()
    for match in _NAMED.finditer(text) if any(word in small for word in _WORDS) else ():
        value = match[1].rstrip(".!?)")
        if len(value) >= 6 and not _NO_VALUE.match(value) and _mixed(value) and entropy(value) >= 2.5:
            yield Span(match.start(1), match.start(1) + len(value), SECRET)
    for match in _LONG.finditer(text) if max(map(len, text.split()), default=0) >= _DRAWN else ():
        if _drawn(match[0]):
            yield Span(*match.span(), SECRET)


def entropy(text: str) -> float:
    """-> bits a sign: 0 for one sign repeated, at most log2 of how many different ones there are."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def _mixed(value: str) -> bool:
    """A word is none: digits or signs among letters, as people are made to choose them."""
    return any(sign.isdigit() for sign in value) and (any(sign.isalpha() for sign in value) or len(value) >= 8)


def _drawn(value: str) -> bool:
    """Small and capital letters and digits, evenly: hashes in hexadecimal and long words in paths are no secrets."""
    kinds = (str.islower, str.isupper, str.isdigit)
    return all(any(map(kind, value)) for kind in kinds) and entropy(value) >= 4.2 and value.count("/") <= 2
