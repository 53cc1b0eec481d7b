"""`suites.json`: what the suites found in a run, for other programs. Keys are added, never renamed or removed."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tunesmith.core.errors import UserError
from tunesmith.core.files import write_json
from tunesmith.report.document import MetricFound, Part

NAME = "suites.json"
__all__ = ["NAME", "MetricFound", "SuiteFound", "SuitesFound", "read_suites"]


class SuiteFound(Part):
    about: str
    """What was asked, and how it was judged."""
    items: int
    metrics: dict[str, MetricFound] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    """What was not measured and why, and what a reader must know."""
    tables: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    """What is no comparison: rows of names and numbers."""
    pictures: dict[str, str] = Field(default_factory=dict)
    """Of models that paint: what was judged, a file of the folder by what it shows."""


class SuitesFound(Part):
    """The whole document."""

    suites: dict[str, SuiteFound] = Field(default_factory=dict)
    run: dict[str, Any] = Field(default_factory=dict)
    """Of what it tells: base, artifact_sha256, recipe fingerprint."""

    def write(self, folder: Path) -> Path:
        path = folder / NAME
        write_json(path, self.model_dump(mode="json"))
        return path


def read_suites(folder: Path) -> SuitesFound | None:
    """-> what `tunesmith evaluate` wrote; None when it never did. Raises UserError for a damaged file."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        return SuitesFound.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged ({reason}); write it again with `tunesmith evaluate`") from error
