"""LoRA over a base in bfloat16, in nf4 and in int8: the same work, one process after the other, in turns.

python benchmarks/qlora.py [--rows labels|answers] [--steps 10] [--rounds 5] [--threads N] [--base FOLDER]
"""

import argparse
import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from turns import HERE, default_base, machine, run_tool, speed
from work import Work, make_work

KINDS = ("bf16", "nf4", "int8")


def main() -> None:
    asked = _arguments()
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    clock = "processor_seconds" if asked.processor else "seconds"
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = make_work(asked.base or default_base(), asked.rows, asked.steps, folder)
        work.write(folder / "work.json")
        for turn in range(asked.rounds):
            for kind in KINDS:
                packed = [] if kind == "bf16" else [kind]
                run = run_tool("tool_tunesmith.py", [str(folder / "work.json"), *packed], {})
                runs[kind].append(run)
                print(f"round {turn + 1}, {kind}: {speed(work, run, clock):.0f} tokens/s", flush=True)
    result = _result(work, runs, clock)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="a folder of safetensors with a chat template; else smollm2-135m")
    parser.add_argument("--rows", choices=("labels", "answers"), default="labels")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--processor", action="store_true", help="count processor time, not the clock's")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "qlora.json")
    return parser.parse_args()


def _result(work: Work, runs: dict[str, list[dict[str, Any]]], clock: str) -> dict[str, Any]:
    kinds = {
        kind: {
            "tokens_per_second": median(speed(work, run, clock) for run in of_kind),
            "peak_bytes": median(run["peak_bytes"] for run in of_kind),
            "base_bytes": of_kind[0]["base_bytes"],
            "packing_seconds": median(run["packing_seconds"] for run in of_kind),
            "losses": of_kind[0]["losses"],
            "rounds": of_kind,
        }
        for kind, of_kind in runs.items()
    }
    versions = {name: version(name) for name in ("torch", "transformers", "bitsandbytes")}
    return {"machine": machine(), "clock": clock, "versions": versions, "work": work.described(), "kinds": kinds}


def table(result: dict[str, Any]) -> str:
    """-> what to print: a line a kind, each beside bfloat16."""
    dense = result["kinds"]["bf16"]
    lines = [f"{'':6}{'tokens/s':>10}{'of bf16':>9}{'peak MB':>9}{'base MB':>9}{'packing s':>11}{'last loss':>11}"]
    for kind, one in result["kinds"].items():
        lines.append(
            f"{kind:6}{one['tokens_per_second']:10.0f}{one['tokens_per_second'] / dense['tokens_per_second']:9.1%}"
            f"{one['peak_bytes'] / 1e6:9.0f}{one['base_bytes'] / 1e6:9.0f}{one['packing_seconds']:11.1f}"
            f"{one['losses'][-1]:11.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
