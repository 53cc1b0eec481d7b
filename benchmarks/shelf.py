"""What a shelf of adapters costs: memory that stays, time of a switch, and a base that is the same to the bit.

    python benchmarks/shelf.py --adapters 64 --rank 16

Adapters hold random values and lie in a temporary folder. Memory is what the process holds beyond the base, read from
/proc after all adapters are loaded, beside the sum of their files. One process, one thread.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from tunesmith.bases import load_base
from tunesmith.export.adapter import WEIGHTS, write_adapter
from tunesmith.methods.lora import LoRA
from tunesmith.proof import frozen_digest
from tunesmith.shelf import Shelf


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--base", default="smollm2-135m")
    asked.add_argument("--adapters", type=int, default=64)
    asked.add_argument("--rank", type=int, default=16)
    asked.add_argument("--write", type=Path, help=argparse.SUPPRESS)  # the process that only writes the adapters
    given = asked.parse_args()
    torch.set_num_threads(1)
    if given.write:
        write(given.base, given.adapters, given.rank, given.write)
        return
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, *sys.argv, "--write", scratch], check=True)
        print(json.dumps(measured(given.base, given.adapters, Path(scratch)), indent=2))


def measured(base: str, count: int, scratch: Path) -> dict[str, float | bool]:
    opened = load_base(base, dtype=torch.float32)
    network = opened.network.requires_grad_(False)
    folders = [scratch / str(number) for number in range(count)]
    before, digest = held(), frozen_digest(network)
    shelf = Shelf(network, opened.fingerprint)
    loading, ids = [], []
    for folder in folders:
        began = time.perf_counter()
        ids.append(shelf.load(folder))
        loading.append(time.perf_counter() - began)
    files = sum((folder / WEIGHTS).stat().st_size for folder in folders)
    grown = held() - before
    switching = [took(lambda known=known: shelf.use(known)) for known in ids]  # type: ignore[misc]
    stacking = took(lambda: shelf.use(*ids[:8]))
    switched_off = took(shelf.off)
    return {
        "adapters": count,
        "files_mb": round(files / 1e6, 1),
        "grown_mb": round(grown / 1e6, 1),
        "grown_share": round(grown / files, 3),
        "load_ms": round(1e3 * statistics.median(loading), 1),
        "switch_ms": round(1e3 * statistics.median(switching), 2),
        "stack_of_8_ms": round(1e3 * stacking, 2),
        "off_ms": round(1e3 * switched_off, 2),
        "base_equal": frozen_digest(network) == digest,
    }


def write(base: str, count: int, rank: int, scratch: Path) -> None:
    opened = load_base(base, dtype=torch.float32)
    method, network = LoRA(rank=rank), opened.network
    method.attach(network)
    stored, described = method.stored(network), method.described(network)
    for number in range(count):
        draw = torch.Generator().manual_seed(number)
        values = {name: 0.02 * torch.randn(tensor.shape, generator=draw) for name, tensor in stored.items()}
        facts = {"base_name": base, "base_fingerprint": opened.fingerprint}
        write_adapter(scratch / str(number), values, described, **facts)


def held() -> int:
    """Bytes that belong to this process alone: mapped files do not count."""
    return int(psutil.Process().memory_full_info().uss)


def took(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
