"""The most memory that DPO holds, beside SFT on the better answers of the same rows; each in a process of its own.

python benchmarks/pair_memory.py [--rows questions endings] [--steps 3] [--threads N] [--base FOLDER]
"""

import argparse
import json
import tempfile
from pathlib import Path

from pair_work import PairWork, make_pairs
from turns import HERE, default_base, run_tool
from work import Work


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--rows", nargs="+", choices=("questions", "endings"), default=("questions", "endings"))
    given.add_argument("--batch-size", type=int, default=8)
    given.add_argument("--steps", type=int, default=3)
    given.add_argument("--threads", type=int)
    given.add_argument("--base", type=Path)
    given.add_argument("--out", type=Path, default=HERE / "results" / "pair-memory.json")
    asked = given.parse_args()
    more = {} if asked.threads is None else {"OMP_NUM_THREADS": str(asked.threads)}
    found = {}
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as folder:
            pairs = make_pairs(asked.base or default_base(), rows, asked.steps, Path(folder), asked.batch_size)
            peaks = {}
            for script, work in (("tool_tunesmith.py", alone(pairs)), ("tool_dpo_tunesmith.py", pairs)):
                path = Path(folder) / f"{script}.json"
                work.write(path)
                peaks[script] = run_tool(script, [str(path)], more)["peak_bytes"]
        sft, dpo = peaks.values()
        found[rows] = {"sft_bytes": sft, "dpo_bytes": dpo, "ratio": dpo / sft, "work": pairs.described()}
        print(f"{rows}: SFT {sft / 1e9:.2f} GB, DPO {dpo / 1e9:.2f} GB, {dpo / sft:.2f} times", flush=True)
    asked.out.write_text(json.dumps(found, indent=2) + "\n")


def alone(pairs: PairWork) -> Work:
    """The better answers as rows to learn."""
    tokens = [[*p, *c] for p, c in zip(pairs.prompts, pairs.chosen, strict=True)]
    trained = [[False] * len(p) + [True] * len(c) for p, c in zip(pairs.prompts, pairs.chosen, strict=True)]
    told = (pairs.base, pairs.adapter, pairs.rank, pairs.alpha, pairs.batch_size, pairs.steps, pairs.rate)
    return Work(*told, tokens, trained)


if __name__ == "__main__":
    main()
