"""How close a written answer is to the reference: exact match, ROUGE-L (Lin 2004), chrF (Popović 2015).

ROUGE-L is rouge-score's, chrF is sacrebleu's with its default settings; each is per item. Its mean over items is what
is reported, so that items can be compared in pairs.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

# Letters and digits of any script. Scripts that write no spaces between words count each character as a word.
_WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u0e00-\u0e7f\u3040-\u9fff]+"
)


class _Words:
    """rouge-score's own tokenizer keeps a-z and 0-9 only: any other script would score 0 against itself."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def exact_match(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """1 where answer and reference are equal when runs of white space count as one blank, and 0 elsewhere.

    Case and punctuation count.
    """
    return [float(a.split() == r.split()) for a, r in zip(answers, references, strict=True)]


def rouge_l(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """The F-measure of the longest common subsequence of words, 0 to 1, lower-cased, without stemming."""
    return [_rouge().score(r, a)["rougeL"].fmeasure for a, r in zip(answers, references, strict=True)]


def chrf(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """The F2-score of character 1- to 6-grams, 0 to 100."""
    return [_chrf().sentence_score(a, [r]).score for a, r in zip(answers, references, strict=True)]


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # here: it loads nltk, and most runs write no answers

    return RougeScorer(["rougeL"], tokenizer=_Words())


@cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()
