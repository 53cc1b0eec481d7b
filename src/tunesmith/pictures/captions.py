"""What is said of each picture: one prompt, `.txt` files, `metadata.jsonl`, names of files, or nothing."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.text import parsed, read_bytes, read_text
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.folder import Place, namesakes, visible

METADATA = "metadata.jsonl"
_NUMBERS = re.compile(r"\W*\(?\d+\)?$")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CAMERA = re.compile(
    r"(img|image|dscn?|dscf|pxl|mvimg|photo|picture|pic|screenshot|screen shot|untitled|scan|download)\b"
)
_HASH = re.compile(r"[0-9a-f]{6,}")


@dataclass
class Captions:
    """The caption of each picture that has one, and what does not fit together."""

    source: str  # prompt, files, metadata, names or none
    of: dict[Path, str] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)  # captions of no picture
    problems: dict[Path, tuple[str, str]] = field(default_factory=dict)  # why a picture has none: kind and sentence


def captions(config: Pictures, found: Sequence[Place], prompt: str | None) -> Captions:
    """-> what `config` says where the captions are. A prompt counts unless the recipe names captions."""
    roots = [Path(name) for name in (*config.sources, config.validation) if name is not None and Path(name).is_dir()]
    tables = [path for root in roots for path in visible(root, (".jsonl",)) if path.name == METADATA]
    texts = {place.path: text for place in found if (text := _beside(place.path)) is not None}
    kind = config.captions
    if prompt is not None and kind == "none":
        kind = "auto"
    if kind == "auto":
        kind = _recognised(found, prompt, tables, texts)
    if kind == "prompt":
        assert prompt is not None
        return Captions("prompt", {place.path: prompt for place in found})
    readers: dict[str, Callable[[], Captions]] = {
        "files": lambda: _from_files(found, roots, texts),
        "metadata": lambda: _from_tables(found, roots, tables),
        "names": lambda: _from_names(found),
        "none": lambda: Captions("none", {place.path: "" for place in found}),
    }
    return readers[kind]()


def _recognised(found: Sequence[Place], prompt: str | None, tables: list[Path], texts: dict[Path, Path]) -> Any:
    if prompt is not None:
        return "prompt"
    if tables and texts:
        raise UserError(
            f"{tables[0]}: there is also {next(iter(texts.values()))}; "
            "say which captions count, data.captions=metadata or data.captions=files"
        )
    if tables or texts:
        return "metadata" if tables else "files"
    wordless = next((place.path for place in found if not _says_something(place.path)), None)
    if wordless is None:
        return "names"
    raise UserError(
        f"{wordless}: no caption: there are no .txt files, there is no {METADATA}, and its name says nothing; "
        f"write {wordless.with_suffix('.txt').name} beside it, or data.captions=none to learn without words"
    )


def words_of(path: Path) -> str:
    """-> the name of a file as words: `red_cat-02.png` says `red cat`."""
    stem = _NUMBERS.sub("", path.stem)
    return " ".join(re.sub(r"[_\-+.]+", " ", stem).split())


def _says_something(path: Path) -> bool:
    words = words_of(path).lower()
    plain = re.sub(r"[\s]", "", words)
    return bool(_WORD.search(words)) and not _CAMERA.match(words) and not _HASH.fullmatch(plain)


def _beside(path: Path) -> Path | None:
    for suffix in (".txt", ".TXT"):
        text = path.with_suffix(suffix)
        if text.is_file():
            return text
    return None


def _from_files(found: Sequence[Place], roots: list[Path], texts: dict[Path, Path]) -> Captions:
    made = Captions("files")
    twice = {place.path: some for some in namesakes(found) for place in some}
    for place in found:
        if (text := texts.get(place.path)) is None:
            missing = f"no caption; write {place.path.with_suffix('.txt').name} beside it (an empty one for none)"
            made.problems[place.path] = "no_caption", f"{place.path}: {missing}, or choose another data.captions"
        elif place.path in twice:
            other = next(p.path.name for p in twice[place.path] if p.path != place.path)
            both = f"{other} has the same name, so {text.name} would be said of both; rename one"
            made.problems[place.path] = "same_name", f"{place.path}: {both}"
        else:
            _read_into(made, place.path, text)
    used = set(texts.values())
    made.orphans = [str(path) for root in roots for path in visible(root, (".txt",)) if path not in used]
    return made


def _read_into(made: Captions, picture: Path, text: Path) -> None:
    try:
        made.of[picture] = one_line(read_text(text)) if read_bytes(text).strip() else ""
    except UserError as error:
        made.problems[picture] = "bad_caption", str(error)


def _from_tables(found: Sequence[Place], roots: list[Path], tables: list[Path]) -> Captions:
    if not tables:
        where = ", ".join(map(str, roots)) or str(found[0].path.parent)
        raise UserError(f"{where}: holds no {METADATA} (data.captions=metadata)")
    made = Captions("metadata")
    by_path = {place.path.resolve(): place.path for place in found}
    for where, file, text in (entry for table in tables for entry in _entries(table)):
        path = by_path.get(file.resolve())
        if path is None:
            made.orphans.append(f"{where} ({file.name})")
        elif path in made.of:
            raise UserError(f"{where}: {file.name} already has a caption; keep one of the two")
        else:
            made.of[path] = text
    for place in found:
        if place.path not in made.of:
            missing = f"{place.path}: no caption; no line of {tables[0]} has it as file_name"
            made.problems[place.path] = "no_caption", missing
    return made


def _entries(table: Path) -> Iterator[tuple[str, Path, str]]:
    """-> of each line its place, the picture that it names, and what it says."""
    for number, line in enumerate(read_text(table).split("\n"), start=1):
        if line.strip():
            where = f"{table}, line {number}"
            name, text = _entry(parsed(line, table, number), where)
            yield where, table.parent / name, one_line(text)


def _entry(value: Any, where: str) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise UserError(f'{where}: must be an object {{"file_name": "...", "text": "..."}}')
    if "file_name" not in value and {"chosen", "rejected"} <= set(value):
        raise UserError(f"{where}: holds a pair of pictures; objective.kind=diffusion-dpo learns from pairs")
    for field_name in ("file_name", "text"):
        if not isinstance(value.get(field_name), str):
            there = ", ".join(map(str, value)) or "nothing"
            raise UserError(f"{where}: `{field_name}` must be a text; the line holds {there}")
        if "\0" in value[field_name] or not whole(value[field_name]):
            raise UserError(f"{where}: `{field_name}` holds a NUL or half a character (a lone surrogate)")
    return value["file_name"], value["text"]


def _from_names(found: Sequence[Place]) -> Captions:
    made = Captions("names")
    for place in found:
        words = words_of(place.path)
        if words and whole(words):
            made.of[place.path] = words
        else:
            missing = f"{place.path}: its name holds no word that could be its caption; rename it"
            made.problems[place.path] = "no_caption", missing
    return made


def whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str) -> str:
    return " ".join(text.split())
