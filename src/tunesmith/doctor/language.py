"""In which language a text is, by character n-grams (py3langid: Lui and Baldwin 2012, "langid.py")."""

from functools import cache
from typing import Any

UNKNOWN = "unknown"
_LEAST = 40  # characters: shorter texts say too little
_MOST = 200
_SURE = 0.99


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(text: str) -> str:
    """-> an ISO 639-1 code, or `unknown` where the text is short or the finder not sure."""
    if len(text) < _LEAST or sum(sign.isalpha() for sign in text[:_MOST]) < _LEAST // 2:
        return UNKNOWN
    name, sure = _identifier().classify(text[:_MOST])
    return str(name) if sure >= _SURE else UNKNOWN
