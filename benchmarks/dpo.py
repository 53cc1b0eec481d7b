"""DPO: tunesmith against TRL's DPOTrainer + PEFT on the same pairs, in turns: pairs per second, memory, loss.

python benchmarks/dpo.py [--rows questions|endings] [--batch-size 4] [--apart] [--steps 8] [--rounds 3] [--threads N]
"""

import tempfile
from pathlib import Path

from beside import ALLOCATOR, Contest, Tool, parser
from pair_work import make_pairs
from turns import default_base

TOOLS = {
    "tunesmith": Tool("tool_dpo_tunesmith.py", "as drawn"),
    "trl": Tool("tool_dpo_trl.py", "as drawn", ("installed",)),
    "tunesmith, grouped": Tool("tool_dpo_tunesmith.py", "grouped"),
    "trl, tuned": Tool("tool_dpo_trl.py", "grouped", ("tuned",), tuple(ALLOCATOR.items())),
}
APART = {"prompts twice": Tool("tool_dpo_tunesmith.py", "as drawn", ("apart",))}
PAIRS = [("tunesmith", "trl"), ("tunesmith, grouped", "trl, tuned")]


def main() -> None:
    arguments = parser(__doc__, "dpo.json", steps=8)
    arguments.add_argument("--rows", choices=("questions", "endings"), default="questions")
    arguments.add_argument("--batch-size", type=int, default=4, help="pairs of a step")
    arguments.add_argument("--apart", action="store_true", help="also: what it costs to compute the prompt twice")
    asked = arguments.parse_args()
    tools, pairs = (TOOLS | APART, [*PAIRS, ("tunesmith", "prompts twice")]) if asked.apart else (TOOLS, PAIRS)
    with tempfile.TemporaryDirectory() as folder:
        work = make_pairs(asked.base or default_base(), asked.rows, asked.steps, Path(folder), asked.batch_size)
        Contest("pairs", {"as drawn": work, "grouped": work.grouped()}, tools, pairs).held(asked)


if __name__ == "__main__":
    main()
