"""tunesmith against TRL + PEFT on the same work, one process after the other, in turns: speed, memory, loss.

python benchmarks/sft.py [--rows labels|answers] [--steps 10] [--rounds 3] [--threads N] [--base FOLDER]
"""

import tempfile
from pathlib import Path

from beside import ALLOCATOR, Contest, Tool, parser
from turns import default_base
from work import make_work

TOOLS = {
    "tunesmith": Tool("tool_tunesmith.py", "as drawn"),
    "trl": Tool("tool_trl.py", "as drawn", ("installed",)),
    "tunesmith, grouped": Tool("tool_tunesmith.py", "grouped"),
    "trl, tuned": Tool("tool_trl.py", "grouped", ("tuned",), tuple(ALLOCATOR.items())),
}
PAIRS = [("tunesmith", "trl"), ("tunesmith, grouped", "trl, tuned")]
"""Grouped: rows of similar length share a batch, which spares a tool that pads. Tuned TRL gets that order."""


def main() -> None:
    arguments = parser(__doc__, "sft.json", steps=10)
    arguments.add_argument(
        "--rows", choices=("labels", "answers"), default="labels", help="what the reviews are made into"
    )
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = make_work(asked.base or default_base(), asked.rows, asked.steps, Path(folder))
        works = {"as drawn": work, "grouped": work.grouped()}
        Contest("tokens", works, TOOLS, PAIRS).held(asked)


if __name__ == "__main__":
    main()
