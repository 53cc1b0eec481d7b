"""Which runs and adapters a row has touched: by the index of each run, and by what adapters are made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.combine.read import Parts, listed
from tunesmith.core.errors import UserError
from tunesmith.data.index import Digests, read_index
from tunesmith.data.prepare import gather
from tunesmith.data.rows import Row, fingerprint, read_rows
from tunesmith.erasure.sought import Sought
from tunesmith.export.adapter import FACTS
from tunesmith.export.peft_config import parse_object
from tunesmith.opening import RECIPE, read_run_recipe, with_paths
from tunesmith.outcome import finished
from tunesmith.recipe import Recipe
from tunesmith.report.folder import RunFiles

LEARNED = ("train", "validation")
"""Parts that decide the weights: validation rows chose among them."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A run that was made with rows that are sought."""

    run: Path
    recipe: Recipe
    rows: dict[str, list[str]]  # by part, the hashes of those that were found
    artifact: Path | None  # the folder of what it made
    sha256: str | None

    @property
    def learned(self) -> bool:
        """Whether the weights depend on them; otherwise they only judged."""
        return any(self.rows.get(part) for part in LEARNED)

    @property
    def digests(self) -> set[str]:
        return {one for some in self.rows.values() for one in some}


@dataclass(slots=True)
class Findings:
    """What is known after looking through a folder of runs."""

    rows: dict[str, str] = field(default_factory=dict)  # place by hash, of the rows in the files of the user
    runs: list[Touched] = field(default_factory=list)
    derived: dict[Path, str] = field(default_factory=dict)  # adapters elsewhere: what they were made of
    doubts: list[str] = field(default_factory=list)  # what could not be looked into

    @property
    def digests(self) -> set[str]:
        return set(self.rows) | {one for run in self.runs for one in run.digests}


def look(root: Path, what: Sought) -> Findings:
    """Look through all runs in and below `root`. Nothing is changed. UserError when there is no such folder."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of runs; name it with --runs")
    found, read = Findings(), dict[str, list[Row]]()
    runs = list(_runs(root, found.doubts))
    changed = {run: list(_changed(run)) for run, _ in runs}
    for _, recipe in runs:
        found.rows |= {row.digest: row.place for row in _rows(recipe, read) if what.holds(row)}
    for run, recipe in runs:
        if changed[run] and what.words is not None:
            found.doubts.append(f"{run}: {changed[run][0]}; rows that are no longer there were not looked at")
        index = _index(run, recipe, changed[run], found.doubts)
        wanted = set(found.rows) | what.digests
        hits = {part: sorted(wanted.intersection(some)) for part, some in (index or {}).items()}
        if any(hits.values()):
            found.runs.append(_touched(run, recipe, {part: some for part, some in hits.items() if some}))
    found.derived = _derived(root, found.runs)
    return found


def home(root: Path) -> Path:
    """-> the folder that remembers what was forgotten: of a run that was named by itself, the one above it."""
    return root.parent if (root / RECIPE).is_file() else root


def _runs(root: Path, doubts: list[str]) -> Iterator[tuple[Path, Recipe]]:
    for path in sorted(root.rglob(RECIPE)):
        try:
            recipe = read_run_recipe(path.parent)
        except UserError as error:
            doubts.append(str(error))
            continue
        if recipe.objective.eats == "pictures":
            doubts.append(f"{path.parent}: learned pictures, which are not searched for rows; look into its data.json")
        else:
            yield path.parent, recipe


def _touched(run: Path, recipe: Recipe, rows: dict[str, list[str]]) -> Touched:
    result = finished(run)
    artifact = result.artifact if result else None
    if artifact is None:
        return Touched(run, recipe, rows, None, None)
    return Touched(run, recipe, rows, (run / artifact.path).parent, artifact.sha256)


def _rows(recipe: Recipe, read: dict[str, list[Row]]) -> Iterator[Row]:
    """The rows of the files that a recipe names, as far as they are here; each file is read once."""
    try:
        data = with_paths(recipe, lambda line: None).texts
    except UserError:
        return  # a name of the catalogue that is not here: `_changed` has said so
    for name in (*data.sources, *filter(None, (data.validation, data.test))):
        if name not in read:
            read[name] = read_rows(name) if Path(name).exists() else []
        yield from read[name]


def _changed(run: Path) -> Iterator[str]:
    """What has become of the files that a run read."""
    files: Any = RunFiles.read(run).data.get("files") or {}
    for name, digest in files.items():
        if not Path(name).exists():
            yield f"{name} is gone"
        elif digest is not None and fingerprint(name) != digest:
            yield f"{name} has changed since"


def _index(run: Path, recipe: Recipe, changed: list[str], doubts: list[str]) -> Digests | None:
    """-> the index of a run; of one without, what its files still say when they are as they were."""
    if (known := read_index(run)) is not None:
        return known
    if changed or not RunFiles.read(run).data:
        reason = changed[0] if changed else "it read no rows"
        doubts.append(f"{run}: keeps no index of its rows, and {reason}: whether it used them cannot be told")
        return None
    objective = recipe.objective
    data = with_paths(recipe, lambda line: None).texts
    return gather(data, False, objective.eats, objective.ending).digests


def _derived(root: Path, runs: list[Touched]) -> dict[Path, str]:
    """-> adapters outside of these runs that are copies of theirs or were combined from them, over several steps."""
    inside = [run.run for run in runs if run.learned]
    adapters = [one for one in listed(root) if isinstance(one, Parts)]
    tainted = {a.id: str(a.folder) for a in adapters if _below(a.folder, inside)}
    found: dict[Path, str] = {}
    while True:
        others = [a for a in adapters if a.folder not in found and not _below(a.folder, inside)]
        fresh = [(adapter, origin) for adapter in others if (origin := _origin(adapter, tainted)) is not None]
        if not fresh:
            return found
        for adapter, origin in fresh:
            found[adapter.folder] = origin
            tainted[adapter.id] = str(adapter.folder)


def _below(folder: Path, runs: list[Path]) -> bool:
    return any(folder.is_relative_to(run) for run in runs)


def _origin(adapter: Parts, tainted: dict[str, str]) -> str | None:
    if adapter.id in tainted:
        return f"a copy of {tainted[adapter.id]}"
    path = adapter.folder / FACTS
    made = parse_object(path).get("made") if path.is_file() else None
    combined = made.get("combined") if isinstance(made, dict) else None
    parents = [one.get("id") for one in combined if isinstance(one, dict)] if isinstance(combined, list) else []
    known = [tainted[parent] for parent in parents if parent in tainted]
    return f"combined from {', '.join(known)}" if known else None
