"""Names of people, found by lists, by what stands before them, and by words that never stand in small letters.

A run of capitalised words is a name when enough speaks for it: a first name or surname of the lists, a title or a
phrase such as `my name is` before it, or something that people do, such as `said`, behind it. Words that are common in
English or in the rows themselves, places, months and companies speak against it. No model: decision 12 says what is
missed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tunesmith.doctor.spans import Span

NAME = "name"

_BIG = "[" + "".join(chr(code) for code in range(0x250) if chr(code).isupper()) + "]"
_PART = rf"(?:[dDlLO]['\u2019])?{_BIG}[^\W\d_]*(?:[-'\u2019][^\W\d_]+)*"
_BETWEEN = (
    "de la|de las|de los|van der|van den|van de|von der|de|da|do|dos|das|del|della|di|van|von|der|den|bin|ibn|al|"
    "el|la|le|ter|ten|zu|af|y|e"
)
_INITIAL = rf"(?:{_BIG}\. ?)"
_RUN = re.compile(rf"(?<![\w@.#/'\u2019-]){_INITIAL}*{_PART}(?: (?:(?:{_BETWEEN}) ){{0,2}}{_INITIAL}*{_PART})*")
_TITLES = frozenset(
    re.findall(
        r"\w+",
        "mr mrs ms miss mx dr prof professor sir madam lady lord herr herrn frau fräulein mme mlle monsieur madame "
        "señor señora sr sra signor signora sig don doña doctor nurse judge justice officer detective captain sergeant "
        "lieutenant colonel senator reverend rev father sister aunt uncle coach mevrouw meneer pan pani",
    )
)
_CUE = re.compile(
    r"(?:\b(?:name(?:'s| is|:| was)|(?:I am|I'm|I\u2019m|this is|call(?:ed)?|named|name|signed,?|sincerely,?|"
    r"regards,?|dear|hi|hello|hey|ask for|speak (?:to|with)|talk(?:ed)? to|spoke (?:to|with)|met(?: with)?|contact|"
    r"patient|customer|client|colleague|friend|wife|husband|brother|sister|son|daughter|neighbou?r|manager|employee|author|"
    r"(?:from|to|cc|bcc|attn):|(?:written|signed|told|sent|led|founded|said) by|according to|"
    r"wrote|thanks,?|cheers,?|heiße|heisse|name ist|gruß,?|grüße,?|hallo|liebe|lieber|"
    r"m'appelle|bonjour|cordialement,?|llamo|hola|querid[oa]|chiamo|ciao|gentile|caro|cara|nazywam się|heet|naam is|"
    r"ad\u0131m|heter)):?[ \n]{1,2})$",
    re.IGNORECASE,
)
_STRONG = re.compile(r"(?:name(?:'s| is|:)|named|heiße|heisse|name ist|m'appelle|me llamo|mi chiamo|nazywam się|"
                     r"naam is|ik heet|heter|signed,?|sincerely,?|regards,?)[: \n]{1,3}$", re.IGNORECASE)  # fmt: skip
_PLACE_AFTER = re.compile(
    r" (?:Street|St|Road|Rd|Avenue|Ave|Lane|Drive|Boulevard|Square|University|College|School|Hospital|Inc|Ltd|LLC|"
    r"GmbH|AG|Corp|Company|Bank|Church|River|Lake|County|City|Park|Bridge|Airport|Museum|Institute|Party|Act|"
    r"Foundation|Group|Center|Centre|Association|Club|Hotel|Island|Valley|War|Award|Prize)\b"
)
_LETTER_END = re.compile(r"[.!?:\n\"\u201c\u201d(\]*•-]\s*$")
_ACTS = re.compile(
    r"(?:,? (?:who|said|says|told|tells|asked|asks|wrote|writes|called|lives|lived|works|worked|helped|thinks|thought|"
    r"replied|answered|smiled|agreed|joined|married|died|knew|knows|explained|and (?:his|her)|"
    r"will be|had already|has been)\b)"
)
_CONTRACTED = re.compile(r"['\u2019](?:ve|ll|m|d|re|t)$")
_WORDS = re.compile(r"[^\W\d_]+")


@cache
def listed(name: str) -> frozenset[str]:
    """-> the words of a list that lies beside this file: see scripts/make_name_lists.py."""
    return frozenset((Path(__file__).parent / name).read_text(encoding="utf-8").split())


class Names:
    """A finder of names that knows which words the rows write in small letters."""

    def __init__(self, texts: Iterable[str]) -> None:
        small: Counter[str] = Counter()
        for text in texts:
            small.update({word for word in _WORDS.findall(text) if word.islower()})
        self._small = {word for word, count in small.items() if count >= 2}
        self._first, self._last = listed("first_names.txt"), listed("last_names.txt")
        self._common = listed("common_words.txt")
        self._others = listed("no_names.txt") | (listed("other_capitals.txt") - self._first)

    def __call__(self, text: str) -> list[Span]:
        """-> the names in a text, and the parts of them that stand alone elsewhere in it."""
        if text.isupper():
            return []
        found = []
        headings = _mostly_capitals(text)
        for match in _RUN.finditer(text):
            if (ends := self._judged(text, match.start(), match[0], headings)) is not None:
                found.append(Span(match.start() + ends[0], match.start() + ends[1], NAME))
        return found + list(self._again(text, found))

    def _judged(self, text: str, start: int, run: str, headings: bool) -> tuple[int, int] | None:
        """-> where in a run the name stands."""
        parts = [(m.start(), m.end(), m[0]) for m in re.finditer(r"[^\s,]+", run)]
        before = text[max(0, start - 40) : start]
        titled = _titled(before)
        if len(parts) == 1 and not titled and self._plain(parts[0][2]):
            return None
        begins = not before.strip() or _LETTER_END.search(before) is not None
        while parts and self._dropped(parts[0][2], begins and len(parts) > 1):
            titled = titled or _titled(parts[0][2] + " ")
            before, parts, begins = before + parts[0][2] + " ", parts[1:], False
        while parts and self._against(parts[-1][2]) and len(parts[-1][2].rstrip(".")) > 1:
            parts = parts[:-1]
        if not parts or _PLACE_AFTER.match(text[start + parts[-1][1] :][:14]):
            return None
        words = [part[2] for part in parts if part[2][0].isupper() or part[2][0] > "\u00bf"]
        if titled:
            return parts[0][0], _without_s(parts[-1])
        cue = 2 if _STRONG.search(before) else 1 if _CUE.search(before) else 0
        acts = _ACTS.match(text[start + parts[-1][1] :][:16]) is not None
        shaped = (acts or cue > 0) and not headings
        return (parts[0][0], _without_s(parts[-1])) if self._enough(words, cue, shaped, headings) else None

    def _plain(self, word: str) -> bool:
        """A common word with which a sentence begins: most capitals are such."""
        return word.lower() in self._common and word.lower() not in self._first

    def _dropped(self, word: str, begins: bool) -> bool:
        """A word that stands before a name in capitals: a title, or the beginning of a sentence."""
        plain = word.lower().rstrip(".")
        if self._against(word) and plain not in self._first:
            return True
        return begins and (plain in self._common or plain in self._small) and not self._is_first(plain)

    def _against(self, word: str) -> bool:
        plain = re.sub(r"['\u2019]s$", "", word.lower().rstrip("."))
        if _CONTRACTED.search(plain) or (len(plain) < 3 and plain in self._common):
            return True
        return (
            plain in self._others
            or (len(word.rstrip(".")) > 1 and word.isupper())
            or (len(plain) == 1 and not word.endswith("."))
        )

    def _is_first(self, plain: str) -> bool:
        return plain in self._first and plain not in self._common

    def _enough(self, words: list[str], cue: int, shaped: bool, headings: bool) -> bool:
        plain = [re.sub(r"['\u2019]s$", "", word.lower()) for word in words]
        whole = [word for word in plain if len(word.rstrip(".")) > 1]
        if not whole:
            return False
        first = [word in self._first or _halves(word) & self._first for word in whole]
        common = [word in self._common or (word in self._small and word not in self._last) for word in whole]
        unknown = [not a and not b for a, b in zip(first, common, strict=True)]
        if len(whole) == 1:
            return self._alone(whole[0], len(plain) > 1, cue, headings)
        if first[0] and not (common[0] and all(common)) and (not common[-1] or whole[-1] in self._last):
            return True
        if whole[-1] in self._last and not common[-1] and not common[0]:
            return True
        if cue == 2 and not all(common):
            return True
        if (first[-1] or whole[0] in self._last) and not any(common) and not headings:  # the surname first
            return True
        return shaped and all(unknown) and len(whole) <= 3 and not any(word.isupper() for word in words)

    def _alone(self, word: str, initials: bool, cue: int, headings: bool) -> bool:
        common = word in self._common or word in self._small
        known = word in self._first or word in self._last
        if initials:
            return known or not common
        if cue == 2:
            return not common or word in self._first
        if cue == 1:
            return word in self._first and word not in self._small
        return self._is_first(word) and word not in self._small and not headings

    @staticmethod
    def _again(text: str, found: list[Span]) -> Iterator[Span]:
        """The surname alone, where the whole name stands too."""
        parts = {part for span in found for part in re.split(r"[ ,]+", text[span.start : span.stop]) if len(part) > 2}
        taken = [(span.start, span.stop) for span in found]
        for part in parts if found else ():
            if not part[0].isupper() or part.endswith("."):
                continue
            for match in re.finditer(rf"(?<!\w){re.escape(part)}(?!\w)", text):
                if not any(a <= match.start() < b for a, b in taken):
                    yield Span(*match.span(), NAME)


def _titled(before: str) -> bool:
    """Whether a text ends with a title and one space."""
    return before.endswith(" ") and before[:-1].rpartition(" ")[2].rpartition("\n")[2].rstrip(".").lower() in _TITLES


def _halves(word: str) -> set[str]:
    return set(re.split(r"[-'\u2019]", word)) if re.search(r"[-'\u2019]", word) else set()


def _without_s(part: tuple[int, int, str]) -> int:
    """-> where a word ends, a genitive's s left out."""
    return part[1] - 2 * part[2].endswith(("'s", "\u2019s"))


def _mostly_capitals(text: str) -> bool:
    """Headings, and languages that write nouns in capitals: there a capital alone says nothing."""
    words = _WORDS.findall(text)
    return len(words) > 3 and sum(word[0].isupper() for word in words) > 0.4 * len(words)
