"""A classifier and a reward model on real labelled text, three seeds each: how often right, and how sure.

    python benchmarks/heads.py                             # all, then the tables
    python benchmarks/heads.py --only sentiment --seeds 0  # a part of it; what is there is not made again

`random` is the classifier with a head that begins at random. Intervals hold the luck of rows and of seeds
(tunesmith.evaluate.over_seeds).
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rl import spread
from slices import mean
from tool_command import tunesmith
from turns import HERE, machine

from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.items import read_items
from tunesmith.evaluate.over_seeds import difference, level

JOBS = {
    "sentiment": ["recipes/sentiment.yaml"],
    "random": ["recipes/sentiment.yaml", "objective.head_start=random"],
    "judge": ["recipes/reward-model.yaml", "train.max_steps=30", "evaluate.items=300"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/heads"))
    parser.add_argument("--only", choices=JOBS, action="append")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results" / "heads" / "heads.json")
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    for job in asked.only or JOBS:
        runs = [asked.folder / f"{job}-{seed}" for seed in asked.seeds]
        for seed, run in zip(asked.seeds, runs, strict=True):
            tunesmith("train", *JOBS[job], "train.threads=1", f"train.seed={seed}", "--output", run)
        found[job] = summed(runs)
        print(job, json.dumps(found[job], indent=1))
    if asked.only is None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def summed(runs: list[Path]) -> dict[str, Any]:
    """-> each measure before and after: its mean over the runs, the least and the most."""
    results = [json.loads((run / "result.json").read_text(encoding="utf-8")) for run in runs]
    details = [json.loads((run / "evaluation.json").read_text(encoding="utf-8")) for run in runs]
    sides = {
        side: {name: spread([result["evaluation"][side][name] for result in results]) for name in some}
        for side, some in ((side, results[0]["evaluation"][side]) for side in ("before", "after"))
    }
    more: dict[str, Any] = {"rows": results[0]["evaluation"]["n"], "seconds": [r["train"]["seconds"] for r in results]}
    if "majority" in details[0]:
        more["majority"] = details[0]["majority"]
        tempered = [detail["calibration"]["with_temperature"] for detail in details]
        more["with_temperature"] = {name: [one[name] for one in tempered] for name in tempered[0]}
    return {"runs": [run.name for run in runs], **more, **sides, **with_intervals(runs)}


def with_intervals(runs: list[Path]) -> dict[str, Any]:
    """-> how often the runs are right on the test rows, and by how much more than who always says the same label."""
    sides = [read_items(run, "tuned").outcomes for run in runs]
    right = np.array([[[rightness(outcome)] for outcome in side] for side in sides])  # (K, N, 1)
    found: dict[str, Any] = {"right": asdict(level(mean, right, share=True))}
    gold = [outcome.gold for outcome in sides[0] if outcome.gold is not None]
    if gold:
        most = max(sorted(set(gold)), key=gold.count)
        same = np.array([[[float(label == most)] for label in gold]])
        more = difference(mean, same, right, higher_is_better=True)
        found["more_than_always_the_same"] = {"mean": more.mean, "low": more.low, "high": more.high}
    else:
        apart = np.array([[outcome.preference[1] for outcome in side if outcome.preference] for side in sides])
        sure = 1 / (1 + np.exp(-np.abs(apart)))  # what Bradley and Terry say of the answer with the higher reward
        found["sure_of_the_higher"] = sure.mean(1).tolist()
    return found


def rightness(outcome: Outcome) -> float:
    return outcome.preference[0] if outcome.preference else float(outcome.predicted == outcome.gold)


if __name__ == "__main__":
    main()
