"""The bill of materials of a run: CycloneDX 1.6 with its model card, https://cyclonedx.org/docs/1.6/json/.

The same run gives the same bytes: its time is that of the artifact, its number follows from what the artifact holds.
"""

import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tunesmith.release.measured import Known
from tunesmith.release.sources import rows_of, settings

_SPDX = {"Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "BSD-3-Clause", "GPL-3.0-only"}
_REWARDS = ("grpo", "rloo", "ppo")
Part = dict[str, Any]


def bom(known: Known) -> Part:
    """-> the document, ready to be written as JSON."""
    artifact = known.result.artifact
    assert artifact is not None, "only finished runs get papers"
    written = datetime.fromtimestamp((known.run / artifact.path).stat().st_mtime, UTC)
    base, data, libraries = _base(known), _data(known), _libraries(known)
    below = [part["bom-ref"] for part in (base, *data, *libraries)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, artifact.sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": written.isoformat(timespec="seconds"),
            "tools": {"components": [_tool(known)]},
            "component": _model(known, base, [part["bom-ref"] for part in data]),
        },
        "components": [base, *data, *libraries],
        "dependencies": [{"ref": "model", "dependsOn": below}],
    }


def _hashes(sha256: str | None) -> Part:
    return {"hashes": [{"alg": "SHA-256", "content": sha256}]} if sha256 else {}


def _licences(stated: str | None) -> Part:
    if not stated:
        return {}
    return {"licenses": [{"license": {"id": stated} if stated in _SPDX else {"name": stated}}]}


def _properties(values: dict[str, Any]) -> list[Part]:
    return [{"name": f"tunesmith:{key}", "value": str(value)} for key, value in values.items()]


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _tool(known: Known) -> Part:
    environment = known.result.environment
    version = str((environment.get("versions") or {}).get("tunesmith", ""))
    return {"type": "application", "name": "tunesmith", "version": version} | _hashes(environment.get("code_sha256"))


def _model(known: Known, base: Part, data: list[str]) -> Part:
    result, artifact = known.result, known.result.artifact
    assert artifact is not None, "only finished runs get papers"
    ancestor = {key: value for key, value in base.items() if key != "bom-ref"}
    told = {"file": artifact.path, "bytes": artifact.bytes, "method": result.method, "objective": result.objective}
    proof = {f"proof:{name}": "holds" if held else "does not hold" for name, held in result.proof.items()}
    private = {f"privacy:{key}": value for key, value in result.privacy or ()}
    recipe = {f"recipe:{key}": value for key, value in settings(known)}
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": f"{_last(result.base)}-{result.method}-{known.files.name}",
        "version": artifact.sha256[:12],
        **_hashes(artifact.sha256),
        "pedigree": {"ancestors": [ancestor]},
        "modelCard": _card(known, data),
        "properties": _properties(told | proof | private | recipe),
    }


def _card(known: Known, data: list[str]) -> Part:
    task, output = "text-generation", "text"
    if known.result.scores:
        task, output = "text-classification", "numbers"
    elif known.result.paints:
        task, output = "text-to-image", "image"
    return {
        "modelParameters": {
            "approach": {"type": _approach(known)},
            "task": task,
            "datasets": [{"ref": ref} for ref in data],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": output}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(known)},
    }


def _approach(known: Known) -> str:
    if known.result.objective in _REWARDS:
        return "reinforcement-learning"
    return "self-supervised" if known.files.data.get("format") == "text" else "supervised"


def _metrics(known: Known) -> list[Part]:
    """The base's value, the tuned model's, and their difference, which is what has an interval."""
    found: list[Part] = []
    for name, m in known.metrics.items():
        where = f"{m.n} items, the same for base and tuned model"
        found += [{"type": f"{name} of the base", "value": repr(m.base), "slice": where}]
        found += [{"type": name, "value": repr(m.tuned), "slice": where}]
        ends = {"lowerBound": repr(m.low), "upperBound": repr(m.high)}
        change = {"type": f"{name}, tuned minus base", "value": repr(m.difference), "slice": where}
        found.append(change | {"confidenceInterval": ends})
    return found


def _base(known: Known) -> Part:
    result, origin = known.result, known.result.origin
    part: Part = {"type": "machine-learning-model", "bom-ref": "base", "name": _last(result.base)}
    if origin is None:
        return part
    notes = {"source": origin.source} | ({"note": origin.note} if origin.note else {})
    return part | _hashes(origin.fingerprint) | _licences(origin.licence) | {"properties": _properties(notes)}


def _data(known: Known) -> list[Part]:
    found = []
    for number, rows in enumerate(rows_of(known), start=1):
        part: Part = {"type": "data", "bom-ref": f"data-{number}", "name": rows.name}
        part |= _hashes(rows.sha256) | _licences(rows.licence)
        part["data"] = [{"type": "dataset", "name": rows.name}]
        if rows.source:
            part["properties"] = _properties({"source": rows.source, "note": rows.note})
        found.append(part)
    return found


def _libraries(known: Known) -> list[Part]:
    versions: Any = known.result.environment.get("versions") or {}
    return [
        {"type": "library", "bom-ref": f"library-{name}", "name": name, "version": version,
         "purl": f"pkg:pypi/{name}@{quote(str(version), safe='')}"}
        for name, version in versions.items() if name != "tunesmith"
    ]  # fmt: skip
