import json
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from tests.train.tiny_run import ROWS, Tiny, next_token
from tunesmith.core.batch import pack
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.step import Stepper
from tunesmith.train.world import World


def take_step(rank: int, size: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    model: torch.nn.Module = Tiny(dropout=0.0)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if size > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
        model = DistributedDataParallel(model)
    # Unequal shares: 5 rows in two passes, and 3 in two passes.
    shares = {1: [[ROWS[:8]]], 2: [[ROWS[:2], ROWS[2:5]], [ROWS[5:7], ROWS[7:8]]]}[size][rank]
    optimizer = Optimizer(named, weight_decay=0.0, betas=(0.9, 0.999))
    metrics = Stepper(model, next_token, optimizer, World(torch.device("cpu"), size)).step(
        [pack(share) for share in shares], 0.01
    )
    tensors = {name: p.detach() for name, p in named.items()} | {"moments": optimizer.state()["exp_avg/hidden.weight"]}
    save_file(tensors, f"{folder}/{size}-{rank}", metadata={"metrics": json.dumps(metrics)})
    if size > 1:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    take_step(0, 1, port, str(tmp_path))
    mp.spawn(take_step, (2, port, str(tmp_path)), nprocs=2)
    (alone, expected), (first, metrics), (second, others) = (read(tmp_path / n) for n in ("1-0", "2-0", "2-1"))
    torch.testing.assert_close(first["moments"], alone["moments"], rtol=1e-5, atol=1e-8)
    assert all(torch.equal(v, second[name]) for name, v in first.items())
    for name in ("loss", "grad_norm"):
        assert metrics[name] == others[name] == pytest.approx(expected[name], rel=1e-5)


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    with safe_open(path, "pt") as file:
        names = file.keys()  # the file itself cannot be walked
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["metrics"])
