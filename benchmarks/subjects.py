"""What teaching an image model a subject comes to: ways, priors, ranks and rates, and a style.

    python benchmarks/subjects.py                           # all of it, three seeds: 85 runs, hours of two cores
    python benchmarks/subjects.py --only ways --seeds 0     # a part; what is there is not made again
    python benchmarks/subjects.py --table                   # train nothing: the tables of the runs that are there

ways    LoRA, full tuning, DreamBooth (full, with a prior) and DreamBooth + LoRA on four subjects
priors  DreamBooth + LoRA with pictures of the class made by the base; none and prediction are among the ways
sizes   rank and learning rate on one subject
style   LoRA on 160 drawings of a style, asked for 24 concepts that were not among them
"""

import argparse
import json
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from emoji_style import judged_style
from emoji_subjects import style, subject
from scipy.stats import binomtest
from tool_command import tunesmith
from turns import HERE, machine

from tunesmith.catalogue.fetch import fetch

SUBJECTS = ("cat", "monkey", "globe", "moon")
WAYS: dict[str, tuple[str, ...]] = {
    "lora": ("method.kind=lora", "objective.prior=none"),
    "full": ("method.kind=full", "objective.prior=none"),
    "dreambooth": ("method.kind=full", "objective.prior=prediction"),
    "dreambooth-lora": ("method.kind=lora", "objective.prior=prediction"),
}
PRIORS = {"images": ("method.kind=lora", "objective.prior=images", "objective.class_images=24")}
RATES = {"lora": 5e-4, "full": 5e-5}
SIZES = tuple(product((4, 16, 64), (1e-4, 5e-4, 2e-3)))
STEPS, BATCH, STYLE_STEPS = 120, 8, 400
PARTS = ("ways", "priors", "sizes", "style")
NUMBERS = ("subject.likeness", "prompts.slots", "prompts.prompt_found", "class.drift", "class.diversity",
           "class.class_likeness", "copies.copied")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="emoji-diffusion")
    parser.add_argument("--folder", type=Path, default=Path("runs/subjects"), help="where runs and pictures lie")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results" / "subjects.json")
    asked = parser.parse_args()
    fetch("efficientnet-lite0", allow_download=True)
    for part in () if asked.table else asked.only or PARTS:
        {"ways": ways, "priors": priors, "sizes": sizes, "style": styles}[part](asked)
    found = tables(asked)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["means"], indent=1))


def ways(asked: argparse.Namespace) -> None:
    for seed, name, (way, how) in product(asked.seeds, asked.subjects, WAYS.items()):
        taught(asked, f"{way}-{name}-{seed}", name, seed, (*how, f"train.learning_rate={RATES[kind(how)]}"))


def priors(asked: argparse.Namespace) -> None:
    for seed, name, (prior, how) in product(asked.seeds, asked.subjects, PRIORS.items()):
        taught(asked, f"{prior}-{name}-{seed}", name, seed, (*how, f"train.learning_rate={RATES['lora']}"))


def sizes(asked: argparse.Namespace) -> None:
    how = WAYS["dreambooth-lora"]
    for seed, (rank, rate) in product(asked.seeds, SIZES):
        more = (*how, f"method.rank={rank}", f"train.learning_rate={rate}")
        taught(asked, f"size-{rank}-{rate:g}-{seed}", asked.subjects[0], seed, more)


def kind(how: tuple[str, ...]) -> str:
    return how[0].partition("=")[2]


def taught(asked: argparse.Namespace, run: str, name: str, seed: int, how: tuple[str, ...]) -> None:
    """One run, judged at its end by twelve prompts; a finished one answers at once."""
    pictures, others = subject(asked.folder, name)
    tunesmith(
        "train", "--base", asked.base, "--data", pictures, "objective.kind=dreambooth",
        f"objective.prompt=a zwx {name}", f"objective.class_prompt=a {name}", *how, f"train.max_steps={asked.steps}",
        f"train.batch_size={BATCH}", f"train.seed={seed}", "evaluate.pictures=0", "evaluate.fidelity_pictures=1",
        f"evaluate.others={others}", "--output", asked.folder / run,
    )  # fmt: skip


def styles(asked: argparse.Namespace) -> None:
    shown, held = style(asked.folder)
    for seed in asked.seeds:
        run = asked.folder / f"style-{seed}"
        tunesmith(
            "train", "--base", asked.base, "--data", shown, "method.kind=lora", f"train.learning_rate={RATES['lora']}",
            f"train.max_steps={STYLE_STEPS}", f"train.batch_size={BATCH}", f"train.seed={seed}", "evaluate.pictures=0",
            "--output", run,
        )  # fmt: skip
        judged_style(run, held, seed)


def tables(asked: argparse.Namespace) -> dict[str, Any]:
    """-> each run that is there, the means of each way, and how often one way is above another."""
    rows = {path.parent.name: row(path.parent) for path in sorted(asked.folder.glob("*/result.json"))}
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for run, found in rows.items():
        head, cell = parted(run)
        groups.setdefault(head, {})[cell] = found
    means = {head: {key: spread([row[key] for row in own.values() if key in row]) for key in one_of(own)}
             for head, own in groups.items()}  # fmt: skip
    pairs = {
        f"{b} - {a}": above(groups[a], groups[b]) for a, b in combinations(groups, 2) if a in PAIRED and b in PAIRED
    }
    return {"machine": machine(), "steps": asked.steps, "means": means, "pairs": pairs, "runs": rows}


PAIRED = (*WAYS, *PRIORS)


def parted(run: str) -> tuple[str, str]:
    """`dreambooth-lora-cat-0` -> the way, and the cell in which it is compared: subject and seed."""
    pieces = run.split("-")
    named = len(pieces) > 2 and pieces[-2] in SUBJECTS
    return ("-".join(pieces[:-2]), "-".join(pieces[-2:])) if named else ("-".join(pieces[:-1]), pieces[-1])


def row(run: Path) -> dict[str, float]:
    """-> likeness and the rest of the tuned model, the base's likeness, and what the run cost."""
    found = json.loads((run / "result.json").read_text(encoding="utf-8"))
    values = {name: float(found["fidelity"][name]["tuned"]) for name in NUMBERS if name in found["fidelity"]}
    if "subject.likeness" in found["fidelity"]:
        values["base.likeness"] = float(found["fidelity"]["subject.likeness"]["base"])
    if found["train"] is not None and found["artifact"] is not None:
        values |= {"seconds": found["train"]["seconds"], "memory": float(found["train"]["peak_memory_bytes"]),
                   "bytes": float(found["artifact"]["bytes"])}  # fmt: skip
    judged = run / "style.json"
    return values | (json.loads(judged.read_text(encoding="utf-8")) if judged.is_file() else {})


def one_of(own: dict[str, dict[str, float]]) -> list[str]:
    return list(next(iter(own.values())))


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values), "runs": len(values)}


def above(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> dict[str, Any]:
    """-> of the cells that both have: the mean difference of each number, where it is above, and the sign test."""
    found: dict[str, Any] = {}
    for name in NUMBERS:
        apart = [other[cell][name] - one[cell][name] for cell in one if cell in other and name in one[cell]]
        moved = [value for value in apart if value]
        if moved:
            up = sum(value > 0 for value in moved)
            p = float(binomtest(up, len(moved)).pvalue)
            found[name] = {"mean": float(np.mean(apart)), "above": up, "cells": len(apart), "p": p}
    return found


if __name__ == "__main__":
    main()
