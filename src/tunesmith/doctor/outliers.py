"""Rows unlike the others: far longer or shorter, one thing said again and again, letters broken by a wrong encoding."""

import re
import zlib

import numpy as np

from tunesmith.doctor.case import Case
from tunesmith.doctor.entries import Entry
from tunesmith.doctor.finding import Finding, by_file

_FAR = 4.0  # robust standard deviations of the logarithm of the length
_TIMES = 10  # as long as the middle one, or as short
_LEAST = 30  # rows
_BROKEN = re.compile(
    r"\ufffd|Ã[\u0080-\u00bf©¤¶¼±³¡ ]|â€[™œ\u009d\u201c\u201d\u02dc\u0099\u009c]|"
    r"&(?:amp|lt|gt|quot|nbsp|#\d{2,5});|<(?:br|div|span|p|td|li)\b[^>]{0,80}>"
)
_REPEATED = 0.12  # compressed to less than this share
_LONG = 400


def outliers(case: Case) -> list[Finding]:
    return [*_lengths(case), *_repeated(case), *_broken(case)]


def _lengths(case: Case) -> list[Finding]:
    if len(case.whole) < _LEAST:
        return []
    sizes = np.log1p([len(entry.text) for entry in case.whole])
    middle = float(np.median(sizes))
    spread = max(0.1, 1.4826 * float(np.median(np.abs(sizes - middle))))
    limit = max(_FAR * spread, float(np.log(_TIMES)))
    far = [(entry, size) for entry, size in zip(case.whole, sizes, strict=True) if abs(size - middle) > limit]
    notes = {id(entry.row): f"{len(entry.text)} characters" for entry, _ in far}
    usual = f"usual are {round(float(np.expm1(middle)))} characters"
    rows = [(entry.row, entry.text) for entry, _ in far]
    return by_file("outlier", rows, f"far longer or shorter than other rows ({usual})", lambda row: notes[id(row)])


def _repeated(case: Case) -> list[Finding]:
    rows = [(entry.row, entry.text) for entry in case.whole if _says_it_again(entry)]
    return by_file("repetitive", rows, "says the same thing again and again")


def _says_it_again(entry: Entry) -> bool:
    text = entry.text[:4000].encode()
    return len(text) >= _LONG and len(zlib.compress(text, 1)) < _REPEATED * len(text)


def _broken(case: Case) -> list[Finding]:
    rows = [
        (entry.row, entry.text[max(0, match.start() - 40) :])
        for entry in case.whole
        if (match := _BROKEN.search(entry.text)) is not None
    ]
    return by_file("broken_text", rows, "holds marks of a wrong encoding or of HTML")
