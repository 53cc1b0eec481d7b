"""DPO: tunesmith against TRL's DPOTrainer + PEFT on the same pairs, in turns: pairs per second, memory, loss.

python benchmarks/dpo.py [--rows questions|endings] [--steps 8] [--rounds 3] [--threads N] [--base FOLDER]
"""

import tempfile
from pathlib import Path

from beside import ALLOCATOR, Contest, Tool, parser
from pair_work import make_pairs
from turns import default_base

TOOLS = {
    "tunesmith": Tool("tool_dpo_tunesmith.py", "as drawn"),
    "prompts twice": Tool("tool_dpo_tunesmith.py", "as drawn", ("apart",)),
    "trl": Tool("tool_dpo_trl.py", "as drawn", ("installed",)),
    "tunesmith, grouped": Tool("tool_dpo_tunesmith.py", "grouped"),
    "trl, tuned": Tool("tool_dpo_trl.py", "grouped", ("tuned",), tuple(ALLOCATOR.items())),
}
"""`prompts twice`: what it is worth that the prompt of a pair is computed once."""
PAIRS = [("tunesmith", "trl"), ("tunesmith", "prompts twice"), ("tunesmith, grouped", "trl, tuned")]


def main() -> None:
    arguments = parser(__doc__, "dpo.json", steps=8)
    arguments.add_argument("--rows", choices=("questions", "endings"), default="questions")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = make_pairs(asked.base or default_base(), asked.rows, asked.steps, Path(folder))
        Contest("pairs", {"as drawn": work, "grouped": work.grouped()}, TOOLS, PAIRS).held(asked)


if __name__ == "__main__":
    main()
