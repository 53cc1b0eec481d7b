"""Tools beside each other on the same work, one process after the other, in turns: speed, memory, loss."""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from turns import WARM_UP, machine, run_tool

HERE = Path(__file__).parent
ALLOCATOR = {  # glibc: keep what was freed, in huge pages
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "THP_MEM_ALLOC_ENABLE": "1",
}


class Order(Protocol):
    """What a tool is told to do."""

    def units_of_step(self) -> list[int]: ...

    def described(self) -> dict[str, Any]: ...

    def write(self, path: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Tool:
    """A script, the work it does, and what else it is told."""

    script: str
    work: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Contest:
    """Who does which work; `pairs` train in the same order, so that their losses can be compared."""

    unit: str
    works: Mapping[str, Order]
    tools: Mapping[str, Tool]
    pairs: Sequence[tuple[str, str]]
    libraries: Sequence[str] = ("torch", "transformers", "trl", "peft")

    def held(self, asked: argparse.Namespace) -> dict[str, Any]:
        """Run all tools `rounds` times in turn, print a table, and keep the result."""
        clock = "processor_seconds" if asked.processor else "seconds"
        if asked.threads:
            os.environ["OMP_NUM_THREADS"] = str(asked.threads)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in self.tools}
        with tempfile.TemporaryDirectory() as folder:
            for name, work in self.works.items():
                work.write(Path(folder) / f"{name}.json")
            for turn in range(asked.rounds):
                for name, tool in self.tools.items():
                    path = str(Path(folder) / f"{tool.work}.json")
                    runs[name].append(run_tool(tool.script, [path, *tool.arguments], dict(tool.environment)))
                    print(f"round {turn + 1}, {name}: {self._line(name, runs[name][-1], clock)}", flush=True)
        result = self._result(runs, clock)
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
        print(self._table(result))
        return result

    def _speed(self, name: str, run: dict[str, Any], clock: str) -> float:
        """-> units per second, the median over the steps."""
        pairs = list(zip(self.works[self.tools[name].work].units_of_step(), run[clock], strict=True))
        return median(units / seconds for units, seconds in pairs[WARM_UP:])

    def _line(self, name: str, run: dict[str, Any], clock: str) -> str:
        speed, loss = self._speed(name, run, clock), run["losses"][-1]
        return f"{speed:.3g} {self.unit}/s, {run['peak_bytes'] / 1e9:.2f} GB, loss {loss:.3f}"

    def _result(self, runs: dict[str, list[dict[str, Any]]], clock: str) -> dict[str, Any]:
        tools = {
            name: {
                f"{self.unit}_per_second": median(self._speed(name, run, clock) for run in of_tool),
                "peak_bytes": median(run["peak_bytes"] for run in of_tool),
                "losses": of_tool[0]["losses"],
                "rounds": of_tool,
            }
            for name, of_tool in runs.items()
        }
        return {
            "machine": machine(),
            "clock": clock,
            "versions": {name: version(name) for name in self.libraries},
            "work": next(iter(self.works.values())).described(),
            "tools": tools,
            "loss_difference": {f"{a} / {b}": _apart(tools[a]["losses"], tools[b]["losses"]) for a, b in self.pairs},
        }

    def _table(self, result: dict[str, Any]) -> str:
        """-> what to print: a line a tool, the ratios to the first, and how far the losses are apart."""
        ours, rate = next(iter(result["tools"].values())), f"{self.unit}_per_second"
        head = f"{self.unit}/s"
        lines = [f"{'':20}{head:>10}{'ratio':>8}{'peak GB':>10}{'ratio':>8}{'first loss':>12}{'last loss':>11}"]
        for name, one in result["tools"].items():
            speed, peak = one[rate], one["peak_bytes"]
            lines.append(
                f"{name:20}{speed:10.4g}{ours[rate] / speed:8.2f}{peak / 1e9:10.2f}"
                f"{ours['peak_bytes'] / peak:8.2f}{one['losses'][0]:12.3f}{one['losses'][-1]:11.3f}"
            )
        apart = result["loss_difference"].items()
        return "\n".join([*lines, *(f"largest difference of a step's loss, {pair}: {x:.4f}" for pair, x in apart)])


def parser(about: str | None, result: str, *, steps: int) -> argparse.ArgumentParser:
    """-> the arguments that every such benchmark has."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--base", type=Path, help="a folder of safetensors with a chat template; else smollm2-135m")
    made.add_argument("--steps", type=int, default=steps)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--threads", type=int, help="of each tool; one thread and --processor suit a busy machine")
    made.add_argument("--processor", action="store_true", help="count processor time, not the clock's")
    made.add_argument("--out", type=Path, default=HERE / "results" / result)
    return made


def _apart(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))
