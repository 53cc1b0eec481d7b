"""tunesmith against TRL + PEFT on the same work, one process after the other, in turns: speed, memory, loss.

python benchmarks/sft.py [--rows labels|answers] [--steps 10] [--rounds 3] [--threads N] [--base FOLDER]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from work import Work, make_work

HERE = Path(__file__).parent
WARM_UP = 2  # steps in which kernels are prepared and memory is first touched
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
ALLOCATOR = {  # glibc: keep what was freed, in huge pages
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "THP_MEM_ALLOC_ENABLE": "1",
}
TOOLS: dict[str, tuple[list[str], dict[str, str]]] = {
    "tunesmith": (["tool_tunesmith.py", "work.json"], {}),
    "trl": (["tool_trl.py", "work.json", "installed"], {}),
    "tunesmith, grouped": (["tool_tunesmith.py", "grouped.json"], {}),
    "trl, tuned": (["tool_trl.py", "grouped.json", "tuned"], ALLOCATOR),
}
PAIRS = [("tunesmith", "trl"), ("tunesmith, grouped", "trl, tuned")]  # each pair trains in one order
"""Grouped: rows of similar length share a batch, which spares a tool that pads. Tuned TRL gets that order."""


def main() -> None:
    asked = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = make_work(asked.base or default_base(), asked.rows, asked.steps, folder)
        work.write(folder / "work.json")
        work.grouped().write(folder / "grouped.json")
        runs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in TOOLS}
        if asked.threads:
            os.environ["OMP_NUM_THREADS"] = str(asked.threads)
        clock = "processor_seconds" if asked.processor else "seconds"
        for turn in range(asked.rounds):
            for tool in TOOLS:
                runs[tool].append(_run(tool, folder))
                print(f"round {turn + 1}, {tool}: {_line(work, tool, runs[tool][-1], clock)}", flush=True)
    result = _result(work, runs, clock)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="a folder of safetensors with a chat template; else smollm2-135m")
    parser.add_argument(
        "--rows", choices=("labels", "answers"), default="labels", help="what the reviews are made into"
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of each tool; one thread and --processor suit a busy machine")
    parser.add_argument("--processor", action="store_true", help="count processor time, not the clock's")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sft.json")
    return parser.parse_args()


def default_base() -> Path:
    """The default base as a plain folder, fetched and converted when it is not there yet."""
    from tunesmith.bases import resolve
    from tunesmith.catalogue.fetch import default_cache
    from tunesmith.models.gguf import plain_folder

    return plain_folder(resolve("smollm2-135m").path, default_cache(), print)


def _run(tool: str, folder: Path) -> dict[str, Any]:
    (script, *arguments), more = TOOLS[tool]
    command = [sys.executable, str(HERE / script), str(folder / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, env=os.environ | OFFLINE | more, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _order(work: Work, tool: str) -> Work:
    return work.grouped() if "grouped.json" in TOOLS[tool][0] else work


def _speed(work: Work, tool: str, run: dict[str, Any], clock: str) -> float:
    pairs = list(zip(_order(work, tool).tokens_of_step(), run[clock], strict=True))
    return median(tokens / seconds for tokens, seconds in pairs[WARM_UP:])


def _line(work: Work, tool: str, run: dict[str, Any], clock: str) -> str:
    return (
        f"{_speed(work, tool, run, clock):.0f} tokens/s, {run['peak_bytes'] / 1e9:.2f} GB, loss {run['losses'][-1]:.3f}"
    )


def _result(work: Work, runs: dict[str, list[dict[str, Any]]], clock: str) -> dict[str, Any]:
    tools = {
        tool: {
            "tokens_per_second": median(_speed(work, tool, run, clock) for run in of_tool),
            "peak_bytes": median(run["peak_bytes"] for run in of_tool),
            "losses": of_tool[0]["losses"],
            "rounds": of_tool,
        }
        for tool, of_tool in runs.items()
    }
    return {
        "machine": machine(),
        "clock": clock,
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        "work": {
            "base": Path(work.base).name,
            "rows": len(work.tokens),
            "tokens_a_row": sum(map(len, work.tokens)) / len(work.tokens),
            "trained_share": sum(map(sum, work.trained)) / sum(map(len, work.tokens)),
            "rank": work.rank,
            "batch_size": work.batch_size,
            "steps": work.steps,
        },
        "tools": tools,
        "loss_difference": {f"{a} / {b}": _apart(tools[a]["losses"], tools[b]["losses"]) for a, b in PAIRS},
    }


def _apart(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def machine() -> dict[str, Any]:
    """-> what the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor())
    return {"processor": name, "cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "default")}


def table(result: dict[str, Any]) -> str:
    """-> what to print: a line a tool, the ratios, and how far the losses are apart."""
    ours = result["tools"]["tunesmith"]
    lines = [f"{'':20}{'tokens/s':>10}{'ratio':>8}{'peak GB':>10}{'ratio':>8}{'first loss':>12}{'last loss':>11}"]
    for tool, one in result["tools"].items():
        speed, peak = one["tokens_per_second"], one["peak_bytes"]
        lines.append(
            f"{tool:20}{speed:10.0f}{ours['tokens_per_second'] / speed:8.2f}{peak / 1e9:10.2f}"
            f"{ours['peak_bytes'] / peak:8.2f}{one['losses'][0]:12.3f}{one['losses'][-1]:11.3f}"
        )
    lines += [f"largest difference of a step's loss, {pair}: {x:.4f}" for pair, x in result["loss_difference"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
