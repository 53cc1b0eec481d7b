"""Three ways to learn from a reward that a program gives, each from equally many sampled answers.

    python benchmarks/rl.py                                # GRPO, PPO, best-of-n + SFT; three seeds, then the table
    python benchmarks/rl.py --only grpo --seeds 0          # a part of it; what is there is not made again

Each way sees 1,536 answers to 192 arithmetic prompts. Then every model answers the 160 test questions, once with its
likeliest tokens and once drawn from it; `measured.py` says what is noted.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from lines import WIDTH, Points, page, panel
from measured import measured
from tool_command import tunesmith
from turns import HERE, machine

from tunesmith.catalogue.fetch import fetch
from tunesmith.evaluate.over_seeds import difference
from tunesmith.report.svg import smooth

WAYS = ("grpo", "ppo", "best")
PROMPTS, ANSWERS, TOKENS = 192, 8, 16
FILES = (("prompts", "jsonl"), ("kept", "jsonl"), ("sampling", "json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/rl"), help="where the runs lie")
    parser.add_argument("--only", choices=WAYS, action="append")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--table", action="store_true", help="train nothing: the table of the runs that are there")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results" / "arithmetic" / "rl.json")
    asked = parser.parse_args()
    ways = asked.only or list(WAYS)
    for way in () if asked.table else ways:
        for seed in asked.seeds:
            (best if way == "best" else rewarded)(asked.folder, way, seed)
    if asked.only is None:
        found = table(asked.folder, asked.seeds)
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
        asked.out.with_suffix(".svg").write_text(chart(asked.folder, asked.seeds), encoding="utf-8")
        print(json.dumps(found["means"], indent=1))


def rewarded(folder: Path, way: str, seed: int) -> None:
    """GRPO: 24 samplings of 8 prompts with 8 answers. PPO: 24 of 16 prompts with 4 answers, each learned from twice."""
    steps = {"grpo": 24, "ppo": 48}[way]
    tunesmith(
        "train", f"recipes/{way}-arithmetic.yaml", f"train.max_steps={steps}", f"train.evaluate_every={steps // 3}",
        "train.threads=1", f"train.seed={seed}", "--output", folder / f"{way}-{seed}",
    )  # fmt: skip


def best(folder: Path, way: str, seed: int) -> None:
    """The right answers of 8 to each of 192 prompts, at most one of each prompt, learned three times over."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, kept, took = (folder / f"{name}-{seed}.{end}" for name, end in FILES)
    lines = (fetch("arithmetic", allow_download=True) / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows.write_text("\n".join(random.Random(seed).sample(lines, PROMPTS)) + "\n", encoding="utf-8")
    if not kept.exists():
        begin = time.perf_counter()
        said = tunesmith(
            "best-of", "smollm2-135m", "--data", rows, "--reward", "number", "--n", ANSWERS, "--at-least", 1,
            "--max-tokens", TOKENS, "--seed", seed, "--output", kept,
        )  # fmt: skip
        took.write_text(json.dumps({"seconds": time.perf_counter() - begin, "said": said.strip()}) + "\n")
    tunesmith(
        "train", "--base", "smollm2-135m", "--data", kept, "data.split=[0.9,0.1,0]", "train.epochs=3",
        "train.threads=1", f"train.seed={seed}", "evaluate.enabled=false", "--output", folder / f"best-{seed}",
    )  # fmt: skip


def table(folder: Path, seeds: list[int]) -> dict[str, Any]:
    """-> what each run came to, and the means over the seeds with the largest and smallest."""
    runs: dict[str, list[dict[str, Any]]] = {"base": [measured("smollm2-135m", folder / "base.json", TOKENS)]}
    for way in WAYS:
        runs[way] = [one(folder, way, seed) for seed in seeds if (folder / f"{way}-{seed}" / "result.json").exists()]
    names = [name for name, value in runs["best"][0].items() if isinstance(value, float)]
    means = {
        way: {name: spread([run[name] for run in own if name in run]) for name in names if name in own[0]}
        for way, own in runs.items()
    }
    pairs = (("base", "grpo"), ("base", "ppo"), ("base", "best"), ("best", "grpo"), ("best", "ppo"), ("ppo", "grpo"))
    apart = {f"{other} - {way}": against(runs[way], runs[other]) for way, other in pairs}
    sampled = PROMPTS * ANSWERS
    return {"machine": machine(), "answers_sampled": sampled, "means": means, "differences": apart, "runs": runs}


def against(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
    """-> by how much more test questions are answered rightly, seed by seed and with the luck of rows and seeds."""
    first, second = (np.array([run["right"] for run in runs])[..., None] for runs in (before, after))
    if "kl_token" in before[0]:  # not the base, which has no seeds
        seeds = min(len(first), len(second))
        first, second = first[:seeds], second[:seeds]
    found = difference(lambda rows: rows[..., 0].mean(-1), first, second, higher_is_better=True)
    each = [float(value) for value in (second - first).mean((1, 2))]
    return {"mean": found.mean, "low": found.low, "high": found.high, "verdict": found.verdict, "each_seed": each}


def one(folder: Path, way: str, seed: int) -> dict[str, Any]:
    run = folder / f"{way}-{seed}"
    found = measured(str(run), folder / f"{way}-{seed}.json", TOKENS)
    train = json.loads((run / "result.json").read_text(encoding="utf-8"))["train"]
    seconds, sampling = train["seconds"], train.get("rollout_seconds") or 0.0
    if way == "best":
        sampling = json.loads((folder / f"sampling-{seed}.json").read_text(encoding="utf-8"))["seconds"]
        seconds += sampling
    return found | {"seconds": float(seconds), "sampling_seconds": float(sampling)}


def chart(folder: Path, seeds: list[int]) -> str:
    """-> SVG: how many of the drawn answers were right, and the distance to the base, as more were drawn."""
    names = {"reward": "share of drawn answers that are right", "kl": "distance to the base, nats a token"}
    panels = []
    for number, (name, title) in enumerate(names.items()):
        lines = {
            way: [
                smooth(course(run, way, name)) for run in (folder / f"{way}-{seed}" for seed in seeds) if run.exists()
            ]
            for way in WAYS[:2]
        }
        panels.append(panel(title, "answers drawn", lines, left=WIDTH * number))
    return page(panels, "GRPO and PPO on arithmetic, a line for each seed")


def course(run: Path, way: str, name: str) -> Points:
    """-> what was logged of each sampling, by the answers drawn until then."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    values = [line[name] for line in lines if "loss" in line]
    each = 1 if way == "grpo" else 2  # steps that learn from one sampling
    return [(64 * (i + 1), value) for i, value in enumerate(values[each - 1 :: each])]


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": sum(values) / len(values), "low": min(values), "high": max(values)}


if __name__ == "__main__":
    main()
