"""What lies before the doctor: the entries of every file, and what several finders need of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tunesmith.data.config import Data
from tunesmith.data.duplicates import groups, words_of
from tunesmith.data.split import Parts, fractions, parted
from tunesmith.doctor.entries import Entry
from tunesmith.doctor.language import UNKNOWN, language
from tunesmith.doctor.private import Scanner, strings

NEAR_RUN, NEAR_OVERLAP = 2, 0.6
"""Pairs of words that overlap by 0.6 still hold together rows of which one word in nine is another."""


@dataclass
class Case:
    """`entries` are those of data.train; `own` those of data.validation and data.test, where the user gave them."""

    config: Data
    entries: Sequence[Entry]
    own: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    yardsticks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Texts that judge a model, by what they are called."""
    judge: tuple[str, Callable[[], Callable[[Sequence[str]], Sequence[float]]]] | None = None
    """A scorer of toxic texts: its name, and what opens it."""

    @cached_property
    def whole(self) -> list[Entry]:
        """Entries in which nothing is missing."""
        return [entry for entry in self.entries if entry.blank is None]

    @cached_property
    def labels(self) -> dict[str, int]:
        """How often each label stands, the most frequent first; empty where rows have none."""
        counts: dict[str, int] = {}
        for entry in self.whole:
            if entry.label:
                counts[entry.label] = counts.get(entry.label, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def words(self) -> list[tuple[str, ...]]:
        """The words of each whole entry, in small letters."""
        return [words_of(entry.text) for entry in self.whole]

    @cached_property
    def near(self) -> list[int]:
        """For each whole entry the number of its group of near-duplicates."""
        overlap = min(NEAR_OVERLAP, self.config.near_duplicates)
        return groups([entry.row.values for entry in self.whole], overlap, NEAR_RUN)

    @cached_property
    def languages(self) -> list[str]:
        """The language of each whole entry: of its answer, where that is long enough to tell."""
        own = [language(e.answer) if e.answer and e.label is None else UNKNOWN for e in self.whole]
        return [name if name != UNKNOWN else language(e.text) for name, e in zip(own, self.whole, strict=True)]

    @cached_property
    def scanner(self) -> Scanner:
        """Finds personal data and secrets, with the words of these rows in mind."""
        return Scanner(text for entry in self.entries for _, text in strings(entry.row.values, self.kept))

    @property
    def kept(self) -> frozenset[str]:
        """Columns whose values name a class: no text."""
        return frozenset({"label", self.config.columns.get("label", "label")})

    @cached_property
    def parts(self) -> Parts:
        """How a run would split the rows."""
        return parted([entry.row for entry in self.whole], fractions(self.config), self.config.near_duplicates)
