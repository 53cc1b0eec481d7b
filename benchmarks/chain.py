"""The classic chain on one task: SFT, a reward model from pairs of answers, PPO against it; and what is truly right.

    python benchmarks/chain.py                       # three seeds of everything, then the table
    python benchmarks/chain.py --seeds 0             # one of them; what is there is not made again

The task is arithmetic, so that a program knows the true score: it is logged beside the reward (with a weight of a
millionth) and teaches nothing. The reward model sees few pairs, and PPO is not held near its start (`beta=0`), so that
whatever is wrong with the reward can be found and used.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

from lines import WIDTH, page, panel
from tool_command import tunesmith
from turns import HERE, machine

from tunesmith.catalogue.fetch import fetch
from tunesmith.loaded import load
from tunesmith.rewards.named import open_reward
from tunesmith.rewards.reward import Asked

TAUGHT, COMPARED, DRAWN = 64, 200, 8  # rows for SFT, prompts for pairs, answers drawn to each of those
STEPS, EVERY, TOKENS = 60, 10, 8
ALONE = ["data.split=[0.9,0.1,0]", "train.threads=1", "evaluate.enabled=false"]
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/chain"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results" / "arithmetic" / "chain.json")
    asked = parser.parse_args()
    runs = []
    for seed in asked.seeds:
        judge, accuracy = prepared(asked.folder / str(seed), seed)
        for beta in asked.betas:
            folder = asked.folder / str(seed)
            course = played(folder, judge, seed, beta)
            runs.append({"seed": seed, "beta": beta, "pairs_right": accuracy, "course": course})
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n", encoding="utf-8")
    asked.out.with_suffix(".svg").write_text(chart(runs), encoding="utf-8")
    for run in runs:
        print(f"seed {run['seed']}, beta {run['beta']:g}: the judge orders {run['pairs_right']:.1%} of held-out pairs")
        for line in run["course"]:
            print(f"  step {line['step']:4}  reward {line['reward']:8.3f}  right {line['right']:6.1%}")


def prepared(folder: Path, seed: int) -> tuple[Path, float]:
    """-> the run of the reward model, and how many held-out pairs it orders rightly. The policy lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (fetch("arithmetic", allow_download=True) / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in random.Random(seed).sample(lines, TAUGHT + COMPARED)]
    taught, judged = folder / "sft.jsonl", folder / "pairs.jsonl"
    write(taught, [{"prompt": row["prompt"], "completion": row["answer"]} for row in rows[:TAUGHT]])
    tunesmith(
        "train", "--base", "smollm2-135m", "--data", taught, "train.epochs=3", f"train.seed={seed}", *ALONE,
        "--output", folder / "sft",
    )  # fmt: skip
    if not (folder / "policy").exists():
        tunesmith("merge", folder / "sft", folder / "policy")
    if not judged.exists():
        write(judged, pairs(folder / "policy", rows[TAUGHT:], seed))
    tunesmith(
        "train", "recipes/reward-model.yaml", f"base={folder / 'policy'}", f"data={judged}", "train.epochs=3",
        "train.threads=1", f"train.seed={seed}", "data.split=[0.7,0.1,0.2]", "--output", folder / "judge",
    )  # fmt: skip
    result = json.loads((folder / "judge" / "result.json").read_text(encoding="utf-8"))
    return folder / "judge", float(result["evaluation"]["after"]["preference_accuracy"])


def pairs(policy: Path, rows: list[Row], seed: int) -> list[Row]:
    """-> a right and a wrong answer of the policy itself to each prompt where there are both."""
    loaded = load(str(policy), precision="bfloat16")
    prompts = [row["prompt"] for row in rows for _ in range(DRAWN)]
    answers = [text.strip() for text in loaded.generate_all(prompts, tokens=TOKENS, temperature=1.0, seed=seed)]
    made = []
    with open_reward("number") as reward:
        for place, row in enumerate(rows):
            own = answers[place * DRAWN : (place + 1) * DRAWN]
            worth = reward([Asked(row["prompt"], text, row, "pairs") for text in own]).total
            right = next((text for text, value in zip(own, worth, strict=True) if value and text), None)
            wrong = next((text for text, value in zip(own, worth, strict=True) if not value and text), None)
            if right is not None and wrong is not None:
                made.append({"prompt": row["prompt"], "chosen": right, "rejected": wrong})
    return made


def played(folder: Path, judge: Path, seed: int, beta: float) -> list[dict[str, float]]:
    """-> what validation said as PPO went on: the learned reward of the likeliest answers, and how many are right."""
    run = folder / f"ppo-{beta:g}"
    reward = json.dumps({str(judge): 1.0, "number": 1e-6})
    tunesmith(
        "train", "recipes/ppo-arithmetic.yaml", f"base={folder / 'policy'}", f"objective.reward={reward}",
        f"objective.beta={beta}", f"objective.answer_tokens={TOKENS}", f"evaluate.answer_tokens={TOKENS}",
        "train.batch_size=8", "train.learning_rate=3e-4", f"train.max_steps={STEPS}", f"train.evaluate_every={EVERY}",
        "train.threads=1", f"train.seed={seed}", "evaluate.general=false", "--output", run,
    )  # fmt: skip
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        {"step": line["step"], "reward": line[f"validation_reward/{judge}"], "right": line["validation_reward/number"]}
        for line in lines
        if "validation_reward" in line
    ]


def chart(runs: list[dict[str, Any]]) -> str:
    """-> SVG: what the reward model says of the likeliest answers, and beside it how many are right."""
    panels = []
    for number, (name, title) in enumerate({"reward": "what the judge says", "right": "share that is right"}.items()):
        curves = {
            f"beta {beta:g}": [[(at["step"], at[name]) for at in run["course"]] for run in runs if run["beta"] == beta]
            for beta in sorted({run["beta"] for run in runs})
        }
        panels.append(panel(title, "PPO steps", curves, left=WIDTH * number))
    return page(panels, "The learned reward and the true score over the steps of PPO, a line for each seed")


def write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
