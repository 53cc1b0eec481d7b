"""The files of a folder of pictures: pictures, masks and caption files, by where they lie."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.core.errors import UserError, near
from tunesmith.pictures.read import KINDS, SUFFIXES

UNREAD = (".heic", ".heif", ".avif", ".jxl", ".psd", ".svg", ".ico", ".tga", ".raw", ".dng", ".cr2", ".nef", ".mp4")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies."""

    path: Path
    under: str  # its folder, seen from the folder that was named; "" directly in it

    @property
    def name(self) -> str:
        """What its caption and its mask are called, without their suffix."""
        return f"{self.under}/{self.path.stem}".lstrip("/")


def places(sources: Sequence[str], but: Iterable[str | None] = ()) -> list[Place]:
    """-> the pictures of folders and single files, in the order of their names; none from the folders `but`."""
    apart = [Path(name).resolve() for name in but if name is not None]
    found: dict[Path, Place] = {}
    for source in map(Path, sources):
        for place in _of(source, apart):
            real = place.path.resolve()
            if real in found:
                raise UserError(f"{place.path}: named twice by data.train; to see it more often use data.repeats")
            found[real] = place
    return list(found.values())


def visible(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """-> the files below a folder with one of the suffixes, not those that systems hide there."""
    files = (path for path in root.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in files if not _hidden(path.relative_to(root)) and path.is_file())


def unread(sources: Sequence[str]) -> list[Path]:
    """-> pictures of kinds that are not opened."""
    return [path for source in map(Path, sources) if source.is_dir() for path in visible(source, UNREAD)]


def namesakes(found: Iterable[Place]) -> list[list[Place]]:
    """-> pictures of one folder that are told apart by their suffix alone."""
    same: dict[Path, list[Place]] = defaultdict(list)
    for place in found:
        same[place.path.with_suffix("")].append(place)
    return [some for some in same.values() if len(some) > 1]


def repeats(found: Sequence[Place], counts: int | Mapping[str, int]) -> list[int]:
    """-> how often each picture counts. The innermost folder that is named decides."""
    if isinstance(counts, int):
        return [counts] * len(found)
    known = {folder for place in found for folder in _above(place.under)}
    for name in counts:
        if name.strip("/") not in known:
            raise UserError(
                f"data.repeats.{name}: no sub-folder of data.train holds pictures under this name{near(name, known)}"
            )
    wanted = {name.strip("/"): count for name, count in counts.items()}
    return [next((wanted[f] for f in _above(place.under) if f in wanted), 1) for place in found]


def masks(found: Sequence[Place], folder: str | None) -> dict[Path, Path]:
    """-> the mask of each picture that has one. UserError when the folder has none for any of them."""
    if folder is None:
        return {}
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of masks (data.masks)")
    files = places([folder])
    if several := namesakes(files):
        raise UserError(f"{several[0][0].path}: {several[0][1].path.name} is a mask of the same name; remove one")
    by_name = {file.name: file.path for file in files}
    fitting = {place.path: by_name[place.name] for place in found if place.name in by_name}
    if not fitting:
        raise UserError(
            f"{root}: holds no mask named as a picture is; the mask of {found[0].path.name} is {found[0].name}.png"
        )
    return fitting


def _of(source: Path, apart: Sequence[Path]) -> list[Place]:
    if source.is_file():
        return [Place(source, "")]
    if not source.exists():
        raise UserError(f"{source}: no such folder of pictures{_near_folders(source)}")
    files = [path for path in visible(source, SUFFIXES) if not any(p in apart for p in path.resolve().parents)]
    if not files:
        others = visible(source, UNREAD)
        more = f"; {others[0].name} is of a kind that is not opened, save it as PNG or JPEG" if others else ""
        raise UserError(f"{source}: holds no picture ({', '.join(k[0] for k in KINDS.values())}){more}")
    return [Place(path, _under(path, source)) for path in files]


def _under(path: Path, root: Path) -> str:
    under = path.parent.relative_to(root).as_posix()
    return "" if under == "." else under


def _above(under: str) -> list[str]:
    """-> a folder and those around it, from the inside."""
    parts = under.split("/") if under else []
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _near_folders(path: Path) -> str:
    try:
        return near(path.name, [other.name for other in path.parent.iterdir()])
    except OSError:
        return ""
