"""Every method beside LoRA on the same rows: speed, memory, loss. One process each, one after the other, in turns.

python benchmarks/methods.py [--methods ia3,loha] [--steps 6] [--rounds 3] [--threads N --processor]
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from turns import HERE, WARM_UP, default_base, machine, run_tool
from work import Work, make_work

from tunesmith.methods.names import PRESETS

YARDSTICK = "lora"
LEFT_OUT = ("qlora", "token")  # another base, and a method of pictures


def main() -> None:
    asked = _arguments()
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    clock = "processor_seconds" if asked.processor else "seconds"
    names = list(dict.fromkeys([YARDSTICK, *asked.methods.split(",")]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work.json"
        work = make_work(asked.base or default_base(), "labels", asked.steps, Path(folder))
        work.write(path)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for turn in range(asked.rounds):
            for name in names:
                runs[name].append(run_tool("tool_method.py", [str(path), name], {}))
                speed = _speed(work, runs[name][-1], clock)
                print(f"round {turn + 1}, {name}: {speed:.0f} tokens/s", file=sys.stderr, flush=True)
    result = _result(work, runs, clock)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ",".join(name for name in PRESETS if name not in LEFT_OUT)
    parser.add_argument(
        "--methods", default=default, help="names as `tunesmith train --method` takes them; also lora+recompute"
    )
    parser.add_argument("--base", type=Path, help="a folder of safetensors with a chat template; else smollm2-135m")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of each process; one thread and --processor suit a busy machine")
    parser.add_argument("--processor", action="store_true", help="count processor time, not the clock's")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "methods.json")
    return parser.parse_args()


def _speed(work: Work, run: dict[str, Any], clock: str) -> float:
    pairs = list(zip(work.units_of_step(), run[clock], strict=True))[WARM_UP:]
    return sum(tokens for tokens, _ in pairs) / sum(seconds for _, seconds in pairs)


def _result(work: Work, runs: dict[str, list[dict[str, Any]]], clock: str) -> dict[str, Any]:
    """The ratio to LoRA is taken round by round: what slows the machine for a while slows both."""
    speeds = {name: [_speed(work, run, clock) for run in of_name] for name, of_name in runs.items()}
    methods = {
        name: {
            "trained": of_name[0]["trained"],
            "tokens_per_second": median(speeds[name]),
            "ratio_to_lora": median(own / lora for own, lora in zip(speeds[name], speeds[YARDSTICK], strict=True)),
            "peak_bytes": median(run["peak_bytes"] for run in of_name),
            "losses": of_name[0]["losses"],
            "way": of_name[0]["way"],
            "rounds": speeds[name],
        }
        for name, of_name in runs.items()
    }
    return {"machine": machine(), "clock": clock, "steps": work.steps, "methods": methods}


def table(result: dict[str, Any]) -> str:
    """-> the result as a table for a document."""
    lines = ["| method | trained numbers | tokens/s | of LoRA's | peak memory |", "|---|---|---|---|---|"]
    for name, found in result["methods"].items():
        lines.append(
            f"| {name} | {found['trained']:,} | {found['tokens_per_second']:.0f} | "
            f"{found['ratio_to_lora']:.0%} | {found['peak_bytes'] / 1e9:.2f} GB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
