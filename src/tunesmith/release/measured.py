"""What is known about a finished run, as numbers with their intervals: the one reader behind verdict and card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.files import sha256
from tunesmith.evaluate.items import read_items
from tunesmith.report.answer import headline, number, values
from tunesmith.report.document import RunResult
from tunesmith.report.folder import RunFiles
from tunesmith.report.numbers import metric
from tunesmith.report.suites import NAME as SUITES_FILE
from tunesmith.report.suites import MetricFound, SuitesFound, read_suites

GENERAL = "general_"
LIKENESS = "subject.likeness"


@dataclass(frozen=True, slots=True)
class Known:
    """A run that ended well, and all that was measured of it."""

    run: Path
    files: RunFiles
    result: RunResult
    metrics: dict[str, MetricFound]  # by `suite.metric`
    facts: dict[str, float]  # the same, of what is counted and has no interval
    suites: SuitesFound
    main: str | None  # the metric that the report speaks of, as `task.metric`


def read_known(run: Path) -> Known:
    """Read a run. UserError when it did not end well, or its artifact is not the one that was measured."""
    files = RunFiles.read(run)
    result = files.result
    if not files.recipe:
        raise UserError(f"{run}: no run folder (recipe.yaml {files.missing.get('recipe.yaml', 'is not there')})")
    if result is None or result.status != "ok" or result.artifact is None:
        raise UserError(f"{run}: this run did not end well; see its result.json, and give its command again")
    artifact = run / result.artifact.path
    if not artifact.is_file():
        raise UserError(f"{artifact}: is gone; train the run again")
    if sha256(artifact) != result.artifact.sha256:
        raise UserError(f"{artifact}: is not the file that was measured (its sha256 differs from result.json)")
    suites = read_suites(run) or SuitesFound()
    measured = suites.run.get("artifact_sha256")
    if suites.suites and measured is not None and measured != result.artifact.sha256:
        raise UserError(f"{run / SUITES_FILE}: measured on another artifact; give `tunesmith evaluate {run}` again")
    found = _of_evaluation(run, files)
    found |= {f"{name}.{key}": one for name, suite in suites.suites.items() for key, one in suite.metrics.items()}
    return Known(run, files, result, found, _facts(files, result), suites, _main(files, found))


def _main(files: RunFiles, found: Mapping[str, MetricFound]) -> str | None:
    """-> what a run is about: likeness where a subject was learned and judged, else what the report speaks of."""
    main = headline(files)
    return LIKENESS if LIKENESS in found else f"task.{main}" if main else None


def _of_evaluation(run: Path, files: RunFiles) -> dict[str, MetricFound]:
    """The run's own test part and the general text, which every run measures unless it is told not to."""
    names: Any = files.evaluation.get("before") or {}
    counts = {"task": int(number(files.evaluation, "n") or 0)}
    counts["general"] = _texts(run) or counts["task"]
    return {
        key: found
        for name in names
        if (found := _one(files, str(name), counts[(key := _key(str(name))).partition(".")[0]])) is not None
    }


def _texts(run: Path) -> int:
    """-> how many pieces of general text were compared."""
    try:
        return len(read_items(run, "base").general)
    except UserError:
        return 0


def _key(name: str) -> str:
    return f"general.{name.removeprefix(GENERAL)}" if name.startswith(GENERAL) else f"task.{name}"


def _one(files: RunFiles, name: str, n: int) -> MetricFound | None:
    pair, differences = values(files, name), files.evaluation.get("difference")
    given = differences.get(name) if isinstance(differences, Mapping) else None
    low, high, p = (number(given, key) for key in ("low", "high", "p"))
    if pair is None or low is None or high is None:
        return None
    words = files.evaluation.get("verdict")
    return MetricFound(
        base=pair[0],
        tuned=pair[1],
        difference=pair[1] - pair[0],
        low=low,
        high=high,
        p=p,
        verdict=str(words.get(name, "")) if isinstance(words, Mapping) else "",
        n=n,
        better="higher" if metric(name).higher_is_better else "lower",
    )


def _facts(files: RunFiles, result: RunResult) -> dict[str, float]:
    artifact = result.artifact
    assert artifact is not None, "only finished runs are read"
    found = {
        "artifact.bytes": float(artifact.bytes),
        "proof.failed": float(sum(not ok for ok in result.proof.values())),
    }
    if artifact.base_bytes:
        found["artifact.share_of_base"] = artifact.bytes / artifact.base_bytes
    if result.privacy is not None and result.privacy.epsilon is not None and not result.privacy.reproducible:
        found["privacy.epsilon"] = result.privacy.epsilon
    overlap = files.data.get("overlap")
    if isinstance(overlap, Mapping):
        counts = [number(one, key) or 0.0 for one in overlap.values() for key in ("exact", "near")]
        found["data.overlap"] = sum(counts)  # rows of own validation and test files; a split has none by its making
    return found
