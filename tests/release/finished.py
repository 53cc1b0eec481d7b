"""A finished run as its files are, with an artifact that is the one its result speaks of."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.report.realistic import realistic

METRIC = {"base": 0.5, "tuned": 0.5, "difference": 0.0, "low": -0.01, "high": 0.02, "p": 1.0, "n": 200,
          "verdict": "no detectable difference (could have seen 0.03)", "better": "higher"}  # fmt: skip


def finished(folder: Path, suites: dict[str, dict[str, dict[str, Any]]] | None = None, **result: Any) -> Path:
    """-> a run folder; `suites`: by suite and metric what differs from `METRIC`; `result`: keys of result.json."""
    realistic(folder)
    document = json.loads((folder / "result.json").read_text()) | result
    artifact = folder / document["artifact"]["path"]
    artifact.parent.mkdir(exist_ok=True)
    artifact.write_bytes(b"weights")
    document["artifact"]["sha256"] = hashlib.sha256(b"weights").hexdigest()
    (folder / "result.json").write_text(json.dumps(document))
    if suites is not None:
        found = {
            name: {"about": "", "items": 200, "metrics": {metric: METRIC | own for metric, own in metrics.items()}}
            for name, metrics in suites.items()
        }
        run = {"artifact_sha256": document["artifact"]["sha256"]}
        (folder / "suites.json").write_text(json.dumps({"suites": found, "run": run}))
    return folder
