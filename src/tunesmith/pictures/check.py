"""What is doubtful in a folder of pictures: findings of a kind, with the pictures they are about.

Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy" (the variance of the Laplacian).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tunesmith.pictures.alike import groups
from tunesmith.pictures.buckets import enlarged, keeps
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.gather import Gathered, Problem, Seen
from tunesmith.pictures.read import over, read_picture

Finding = dict[str, Any]  # kind, file, count, rows (running numbers of pictures), files, message
BLURRED = 0.02  # sharpness of drawings and photographs whose edges are smeared over two pixels or more
_EDGE = 256  # pixels: sharpness is measured at most at this size
_FLAT = 2.0  # of 255: a picture whose grey varies less shows nothing
_CUT = 0.75  # a picture of which less is kept is worth a look


def findings(config: Pictures, found: Gathered) -> list[Finding]:
    """-> what would stop a run, then what is doubtful; one finding of each kind, problems one by one."""
    every = [*found.train, *found.validation]
    where = ", ".join(config.sources)
    made = [_of_problem(where, problem) for problem in found.problems]

    def add(kind: str, some: Iterable[Seen], message: str) -> None:
        if listed := list(some):
            made.append(_finding(kind, where, listed, message))

    small = {s.row for s in every if enlarged(s.height, s.width, s.bucket) > 1}  # and therefore soft
    clear = {seen.row: sharpness(seen) for seen in every}
    add("small", _those(every, lambda s: s.row in small), "smaller than the bucket: enlarged")
    add("cropped", _those(every, lambda s: keeps(s.height, s.width, s.bucket) < _CUT), "a quarter or more is cut away")
    add(
        "blurred",
        _those(every, lambda s: s.row not in small and 0 <= clear[s.row] < BLURRED),
        "blurred at the size that is learned",
    )
    add("flat", _those(every, lambda s: clear[s.row] < 0), "one colour, nothing to see")
    add("animated", _those(every, lambda s: s.frames > 1), "of several frames only the first is used")
    said = found.captions.of if found.captions.source != "none" else {}
    add("no_words", _those(every, lambda s: said.get(s.place.path) == ""), "the caption is empty")
    for kind, some, message in _repeated(every):
        add(kind, some, message)
    if config.masks is not None:
        add("no_mask", _those(every, lambda s: s.mask is None), "without a mask: all of it is learned")
    made += _of_files(where, found)
    return made


def sharpness(seen: Seen) -> float:
    """-> the variance of the Laplacian over that of the grey, at the size that is learned; -1 for a flat picture."""
    shape = seen.bucket
    shrunk = min(1.0, _EDGE / max(shape))
    size = round(shape[1] * shrunk), round(shape[0] * shrunk)
    whole = over(read_picture(seen.place.path).image, (255, 255, 255)).convert("L")
    grey = np.asarray(whole.resize(size, Image.Resampling.LANCZOS), dtype=np.float64)
    if grey.std() < _FLAT:
        return -1.0
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(laplacian.var() / grey.var())


def _those(every: Sequence[Seen], is_so: Callable[[Seen], bool]) -> list[Seen]:
    return [seen for seen in every if is_so(seen)]


def _repeated(every: Sequence[Seen]) -> list[tuple[str, list[Seen], str]]:
    """-> pictures from their second appearance on, and those of which two things are said."""
    by_bytes: dict[str, list[Seen]] = defaultdict(list)
    by_looks: dict[int, list[Seen]] = defaultdict(list)
    for seen, number in zip(every, groups([seen.likeness for seen in every]), strict=True):
        by_bytes[seen.sha256].append(seen)
        by_looks[number].append(seen)
    exact = [seen for some in by_bytes.values() for seen in some[1:]]
    same = {seen.row for seen in exact}
    near = [seen for some in by_looks.values() for seen in some[1:] if seen.row not in same]
    torn = [seen for some in by_bytes.values() if len({s.caption for s in some}) > 1 for seen in some]
    return [
        ("exact_duplicate", exact, "repeats an earlier picture"),
        ("near_duplicate", near, "looks almost like an earlier picture"),
        ("two_captions", torn, "the same picture with different captions"),
    ]


def _of_files(where: str, found: Gathered) -> list[Finding]:
    alike = [place.path for some in found.namesakes for place in some]
    doubts: list[tuple[str, Sequence[object], str]] = [
        ("same_name", alike, "pictures of one name, told apart by their suffix alone"),
        ("orphan_caption", found.captions.orphans, "a caption of no picture"),
        ("orphan_mask", found.orphan_masks, "a mask of no picture"),
        ("not_opened", found.unread, "a kind that is not opened: save it as PNG or JPEG"),
    ]
    return [_named(kind, where, list(map(str, some)), [], message) for kind, some, message in doubts if some]


def _of_problem(where: str, problem: Problem) -> Finding:
    name, _, message = problem.sentence.partition(": ")
    return _named(problem.kind, where, [name], [problem.row], message)


def _finding(kind: str, where: str, some: Sequence[Seen], message: str) -> Finding:
    return _named(kind, where, [str(seen.place.path) for seen in some], [seen.row for seen in some], message)


def _named(kind: str, where: str, files: list[str], rows: list[int], message: str) -> Finding:
    return {"kind": kind, "file": where, "count": len(files), "rows": rows, "files": files, "message": message}


def sentence(finding: Finding) -> str:
    """-> one line for a person: the first files are named."""
    some = ", ".join(finding["files"][:4])
    more = ", ..." if finding["count"] > 4 else ""
    return f"{finding['kind'].replace('_', ' ')}: {finding['count']} ({some}{more}): {finding['message']}"
