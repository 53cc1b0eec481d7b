"""Holds `tunesmith plan` against what then happens, on five recipes; prints the table of the record.

    python scripts/check_plan.py [--only NAME]
    python scripts/check_plan.py --pictures BASE DATA    # three recipes on a base of diffusers and a folder of pictures

Run it on a machine that does nothing else: half an hour on two cores. Exit status 1 when a plan is further off than
promised: 10 % of the memory, 25 % of the time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MEMORY, TIME = 0.10, 0.25
SHORT = ("--base", "smollm2-135m", "--data", "drug-reviews", "train.max_steps=12", "evaluate.items=40")
CUT = ("data.max_length=256", "data.too_long=truncate")
LORA = (*SHORT, *CUT, "method.kind=lora", "method.rank=16")
RECIPES: dict[str, tuple[str, ...]] = {
    "LoRA rank 16": LORA,
    "the same in float32": (*LORA, "train.precision=float32"),
    "full, 4 steps": (*SHORT, *CUT, "method=full", "train.max_steps=4"),
    "512 tokens a pass": (*LORA, "train.tokens_per_pass=512", "evaluate.answers=0"),
    "long rows, batch 4": (*SHORT, "train.batch_size=4", "evaluate.general=false"),
}

SUBJECT = ("objective.kind=dreambooth", "objective.prompt=a zwx thing", "objective.class_prompt=a thing")
PICTURES: dict[str, tuple[str, ...]] = {
    "LoRA on pictures": ("objective=denoise", "train.max_steps=60", "evaluate.pictures=2"),
    "DreamBooth, prior predicted": (*SUBJECT, "train.max_steps=40", "train.precision=float32"),
    "full, pictures": ("method=full", "objective=denoise", "train.max_steps=40", "evaluate.pictures=1"),
}


def called(*words: str) -> tuple[dict[str, Any], float]:
    """-> the JSON that a command printed, and the seconds that it took."""
    begin = time.monotonic()
    command = [sys.executable, "-c", "import sys; from tunesmith.cli import main; sys.exit(main())", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), time.monotonic() - begin


def measured(name: str, words: tuple[str, ...], output: Path) -> dict[str, Any]:
    """Plan a recipe, then run it. -> both, side by side."""
    words = (*words, "--output", str(output))
    planned, planning = called("plan", *words)
    result, seconds = called("train", *words)
    held = result["train"]["peak_memory_bytes"]
    return {
        "recipe": name,
        "planning": planning,
        "planned_seconds": planned["seconds"],
        "seconds": seconds,
        "time": planned["seconds"] / seconds,
        "planned_memory": planned["memory_bytes"],
        "held": held,
        "memory": planned["memory_bytes"] / held,
        "planned_disk": planned["disk_bytes"] - planned["parts"]["disk_bytes"]["cache"],
        "left": sum(file.stat().st_size for file in output.rglob("*") if file.is_file()),
        "parts": planned["parts"]["seconds"],
        "took": parts_of(output) | {"training": result["train"]["seconds"]},
        "good": abs(planned["memory_bytes"] / held - 1) <= MEMORY and abs(planned["seconds"] / seconds - 1) <= TIME,
    }


def parts_of(output: Path) -> dict[str, float]:
    """-> what the run's own diary knows of its parts."""
    lines = [json.loads(line) for line in (output / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "validation": sum(line.get("evaluation_seconds", 0.0) for line in lines),
        "checkpoints": sum(line.get("saving_seconds", 0.0) for line in lines),
    }


def table(found: list[dict[str, Any]]) -> str:
    """-> Markdown."""
    head = "| recipe | planning | time: plan | run | ratio | memory: plan | run | ratio | disk: plan (peak) | left |"
    rows = [
        f"| {f['recipe']} | {f['planning']:.0f} s | {f['planned_seconds']:.0f} s | {f['seconds']:.0f} s "
        f"| **{f['time']:.2f}** | {f['planned_memory'] / 1e9:.2f} GB | {f['held'] / 1e9:.2f} GB "
        f"| **{f['memory']:.2f}** | {f['planned_disk'] / 1e6:.0f} MB | {f['left'] / 1e6:.0f} MB |"
        for f in found
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|---|", *rows])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*RECIPES, *PICTURES], action="append", help="this recipe; repeatable")
    parser.add_argument("--pictures", nargs=2, metavar=("BASE", "DATA"), help="the recipes of pictures, on these")
    asked = parser.parse_args()
    recipes = RECIPES
    if asked.pictures:
        base, data = asked.pictures
        recipes = {name: ("--base", base, "--data", data, *words) for name, words in PICTURES.items()}
    found = []
    for name in asked.only or recipes:
        print(f"== {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="check-plan-") as place:
            found.append(measured(name, recipes[name], Path(place) / "run"))
        print(json.dumps(found[-1], indent=1), file=sys.stderr, flush=True)
    print(table(found))
    return 0 if all(f["good"] for f in found) else 1


if __name__ == "__main__":
    sys.exit(main())
