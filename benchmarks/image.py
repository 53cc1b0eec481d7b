"""Pictures: tunesmith against the loop of diffusers' LoRA script on the same work, in turns: images/s, memory, loss.

python benchmarks/image.py [--base FOLDER] [--size 64] [--batch 16] [--steps 16] [--rounds 3] [--threads N --processor]

Without --base a model of the shape of the emoji base is made, with random weights: speed does not depend on them.
"""

import tempfile
from pathlib import Path
from typing import Any

from beside import Contest, Tool, parser
from picture_base import random_base
from picture_work import make_pictures

TOOLS = {
    "ours, float32": Tool("tool_pictures_tunesmith.py", "pictures", ("float32",)),
    "ours, bfloat16": Tool("tool_pictures_tunesmith.py", "pictures", ("bfloat16",)),
    "diffusers, float32": Tool("tool_diffusers.py", "pictures", ("no",)),
    "diffusers, bf16": Tool("tool_diffusers.py", "pictures", ("bf16",)),
}
PAIRS = [("ours, float32", "diffusers, float32"), ("ours, bfloat16", "diffusers, bf16")]


def main() -> None:
    arguments = parser(__doc__, "image.json", steps=16)
    arguments.add_argument("--size", type=int, default=64, help="edge of the pictures, in pixels")
    arguments.add_argument("--batch", type=int, default=16, help="that of the script, where nothing is said")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base = asked.base or random_base(folder / "base")
        work = make_pictures(base, asked.steps, asked.batch, asked.size, folder)
        libraries = ("torch", "diffusers", "transformers", "peft", "accelerate")
        result = Contest("images", {"pictures": work}, TOOLS, PAIRS, libraries).held(asked)
    print(best(result["tools"]))


def best(tools: dict[str, dict[str, Any]]) -> str:
    """-> each one's best precision beside the other's."""
    found = {}
    for side in ("ours", "diffusers"):
        names = [name for name in tools if name.startswith(side)]
        found[side] = max(names, key=lambda name: tools[name]["images_per_second"])
    ours, theirs = (tools[name] for name in found.values())
    speed = ours["images_per_second"] / theirs["images_per_second"]
    memory = ours["peak_bytes"] / theirs["peak_bytes"]
    return (
        f"best of each: {found['ours']} against {found['diffusers']}: {speed:.2f} times the speed, {memory:.2f} of the "
        f"memory"
    )


if __name__ == "__main__":
    main()
