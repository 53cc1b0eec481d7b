"""Every text of a row read for personal data and secrets, and written again with pseudonyms in their place."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunesmith.doctor.names import NAME, Names
from tunesmith.doctor.personal import personal
from tunesmith.doctor.secrets import SECRET, secrets
from tunesmith.doctor.spans import Span, apart

_NO_TEXT = frozenset({"role", "from", "type", "id", "tool_call_id"})
_REMEMBERED = 2000  # characters: system messages and questions that stand in many rows are read once
_MOST = 50_000


class Scanner:
    """Finds spans in a text. `texts`: all of the rows, whose small letters tell which words are no names."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._names = Names(texts)
        self._known: dict[str, list[Span]] = {}

    def __call__(self, text: str) -> list[Span]:
        if text in self._known:
            return self._known[text]
        shaped = apart([*secrets(text), *personal(text)])
        free = [span for span in self._names(text) if all(s.stop <= span.start or span.stop <= s.start for s in shaped)]
        found = apart([*shaped, *free])
        if len(text) <= _REMEMBERED and len(self._known) < _MOST:
            self._known[text] = found
        return found


def strings(values: Any, kept: frozenset[str], path: str = "") -> Iterator[tuple[str, str]]:
    """-> each text of a row with its place, but names of roles and of the columns `kept`."""
    if isinstance(values, str):
        yield path, values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            if name not in _NO_TEXT and not (path == "" and name in kept):
                yield from strings(value, kept, f"{path}.{name}" if path else str(name))
    elif isinstance(values, list | tuple):
        for n, value in enumerate(values):
            yield from strings(value, kept, f"{path}[{n}]")


class Pseudonyms:
    """The same value becomes the same mark everywhere: `[NAME_3]`. What stood there is kept in memory alone."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def written(self, values: Any, scan: Scanner, kept: frozenset[str]) -> tuple[Any, list[dict[str, str]]]:
        """-> the row again, and what was changed: where, what it was, and its mark."""
        changes: list[dict[str, str]] = []
        people: dict[str, str] = {}  # parts of names in this row, for a surname that stands alone in another turn
        return self._again(values, scan, kept, "", (changes, people)), changes

    def _again(
        self,
        value: Any,
        scan: Scanner,
        kept: frozenset[str],
        path: str,
        notes: tuple[list[dict[str, str]], dict[str, str]],
    ) -> Any:
        if isinstance(value, str):
            return self._text(value, scan(value), path, notes)
        if isinstance(value, Mapping):
            return {
                name: inner
                if name in _NO_TEXT or (path == "" and name in kept)
                else self._again(inner, scan, kept, f"{path}.{name}" if path else str(name), notes)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._again(inner, scan, kept, f"{path}[{n}]", notes) for n, inner in enumerate(value)]
        return value

    def _text(self, text: str, spans: list[Span], path: str, notes: tuple[list[dict[str, str]], dict[str, str]]) -> str:
        changes, people = notes
        parts, end = [], 0
        for span in spans:
            mark = self._mark(text[span.start : span.stop], span.what, people)
            changes.append({"place": path, "what": span.what, "mark": mark})
            parts += [text[end : span.start], mark]
            end = span.stop
        return "".join([*parts, text[end:]])

    def _mark(self, value: str, what: str, people: dict[str, str]) -> str:
        plain = " ".join(value.casefold().split())
        if what not in (NAME, SECRET):
            plain = "".join(sign for sign in plain if sign.isalnum() or sign in "@.")
        if what == NAME and plain in people:
            return people[plain]
        word = what.upper().replace("-", "").replace(" ", "_")
        if (what, plain) not in self._marks:
            self._counts[what] = self._counts.get(what, 0) + 1
            self._marks[what, plain] = f"[{word}_{self._counts[what]}]"
        mark = self._marks[what, plain]
        if what == NAME:
            people |= {part: mark for part in plain.split() if len(part) > 2}
        return mark
