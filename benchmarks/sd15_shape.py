"""LoRA on a model of the shape of Stable Diffusion 1.5 with random weights: planned, then run, at 256 and 512 pixels.

python benchmarks/sd15_shape.py [--sizes 256 512] [--steps 3] [--base FOLDER] [--out FILE]

Prints memory and seconds a step as `tunesmith plan` says them and as they then are. It needs about 8 GB of memory and a
few minutes a size; weights of the real shape take 2.1 GB of the disk while it runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from picture_base import stable_diffusion
from picture_work import draw_pictures

HERE = Path(__file__).parent
RECIPE = (
    "method=lora", "objective=denoise", "train.batch_size=1", "train.precision=bfloat16", "train.warmup=0",
    "train.evaluate_every=1000000", "evaluate.picture_steps=4", "evaluate.pictures=1", "data.split=0.1",
    "evaluate.prompts=[a red ellipse on green]",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--base", type=Path, help="a folder of diffusers instead of random weights")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sd15-shape.json")
    asked = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in asked.sizes:
            folder = Path(scratch)
            base = asked.base or stable_diffusion(folder / f"base-{size}", size)
            draw_pictures(folder / str(size), size)
            found[size] = measured(base, folder / str(size), size, asked.steps)
            print(line(size, found[size]), flush=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n")


def measured(base: Path, pictures: Path, size: int, steps: int) -> dict[str, Any]:
    output = pictures.parent / f"run-{size}"
    words = ["--base", base, "--data", pictures, "--output", output, f"data.size={size}", f"train.max_steps={steps}"]
    planned = said("plan", *words)
    result = said("train", *words)
    times = [json.loads(text) for text in (output / "timing.jsonl").read_text().splitlines()]
    seconds = [one["seconds"] for one in times if "seconds" in one]
    return {
        "planned_seconds": planned["seconds"],
        "planned_step": planned["parts"]["seconds"]["training"] / steps,
        "planned_memory": planned["memory_bytes"],
        "step": median(seconds[1:] or seconds),
        "steps": seconds,
        "memory": result["train"]["peak_memory_bytes"],
        "adapter_bytes": result["artifact"]["bytes"],
    }


def said(command: str, *words: object) -> dict[str, Any]:
    """-> the JSON that a command of tunesmith printed."""
    asked = [sys.executable, "-m", "tunesmith", command, *map(str, words), *RECIPE, "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def line(size: int, found: dict[str, Any]) -> str:
    memory, planned = found["memory"] / 1e9, found["planned_memory"] / 1e9
    return (
        f"{size} pixels: {found['step']:.1f} s a step (planned {found['planned_step']:.1f}), {memory:.2f} GB (planned "
        f"{planned:.2f})"
    )


if __name__ == "__main__":
    main()
