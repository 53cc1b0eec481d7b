"""A network that trains in milliseconds, and a run of it that any test can start, break and start again."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from tunesmith.core.batch import IGNORED, Batch, Example, TokenBatch, pack
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import RunLock, write_bytes
from tunesmith.core.loss import Loss
from tunesmith.core.order import step_indices
from tunesmith.train.config import Train
from tunesmith.train.loop import fit
from tunesmith.train.progress import Event, Fitted
from tunesmith.train.world import World

WORDS = 23
WORLD = World(torch.device("cpu"))
FINGERPRINTS = {"recipe": "a", "base": "b", "data": "c"}
CONFIG = Train(learning_rate=0.05, batch_size=4, evaluate_every=4, checkpoint_every=3, weight_decay=0.01, seed=1)
STEPS = 14


class Tiny(nn.Module):
    def __init__(self, dropout: float = 0.2, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(WORDS, 12, dtype=dtype)
        self.hidden = nn.Linear(12, 12, dtype=dtype)
        self.frozen = nn.Linear(12, 12, dtype=dtype).requires_grad_(False)
        self.head = nn.Linear(12, WORDS, dtype=dtype)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: TokenBatch) -> Tensor:  # -> (L, WORDS)
        kept = batch.labels != IGNORED
        x = self.dropout(self.embed(batch.tokens[kept]))
        return self.head(torch.tanh(self.frozen(self.hidden(x)))).float()


class Wide(Tiny):
    """With matrices that are large enough for moments in 8 bits."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(dtype=dtype)
        self.hidden = nn.Sequential(nn.Linear(12, 400, dtype=dtype), nn.Linear(400, 12, dtype=dtype))


def next_token(model: nn.Module, batch: TokenBatch) -> Loss:
    total = F.cross_entropy(model(batch), batch.labels[batch.labels != IGNORED], reduction="sum")
    return Loss(total, {"squares": total.detach() ** 2})


def noisy(model: nn.Module, batch: TokenBatch) -> Loss:
    """Draws from each generator, so that a forgotten one changes the result."""
    loss = next_token(model, batch)
    return Loss(loss.total * (1 + 0.2 * random.random() + 0.2 * np.random.rand()), loss.metrics)


def examples(count: int, seed: int = 0) -> list[Example]:
    dice = random.Random(seed)
    made = []
    for row in range(1, count + 1):
        length = dice.randint(3, 9)
        tokens = [dice.randrange(WORDS) for _ in range(length)]
        made.append(Example(tokens, [t > 1 or t == length - 1 for t in range(length)], row))
    return made


ROWS = examples(18)
VALIDATION = pack(examples(9, seed=1))


def stream(step: int) -> list[Batch]:
    chosen = [ROWS[i] for i in step_indices(1, len(ROWS), 4, step)]
    return [pack(chosen[i : i + 2]) for i in range(0, len(chosen), 2)]


def train(
    folder: Path,
    model: nn.Module | None = None,
    *,
    objective: Callable[[Any, Any], Loss] = noisy,
    config: Train = CONFIG,
    steps: int = STEPS,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    **others: Any,
) -> Fitted:
    network = model or Tiny()

    def validate() -> dict[str, float]:
        torch.rand(1), np.random.rand(), random.random()  # validation must not disturb training
        return {"loss": float(next_token(network, VALIDATION).total)}

    given = {"stream": stream, "fingerprints": FINGERPRINTS, "world": WORLD, "epoch_steps": 5, **others}
    check = validate if evaluate is None else lambda: evaluate(network)
    fitted = fit(
        network, objective, given.pop("stream"), config=config, steps=steps, folder=folder, evaluate=check, **given
    )
    if not fitted.interrupted:
        tensors = {name: p.detach().contiguous() for name, p in network.named_parameters() if p.requires_grad}
        write_bytes(folder / "adapter.safetensors", save(tensors))
    return fitted


def result(folder: Path) -> dict[str, bytes]:
    """-> what must be equal to the byte in equal runs."""
    last = max((folder / "checkpoints").glob("step-??????"))
    parts = [last / f"{name}.safetensors" for name in ("trainable", "optimizer", "rng")]
    paths = [folder / "adapter.safetensors", folder / "metrics.jsonl", last / "state.json", *parts]
    return {path.name: path.read_bytes() for path in paths}


def command(folder: Path, on_event: Callable[[Event], None] = lambda event: None, **others: Any) -> int:
    """-> the exit status that a program around the run would have."""
    torch.set_num_threads(1)
    try:
        with RunLock(folder):
            return 3 if train(folder, on_event=on_event, **others).interrupted else 0
    except (UserError, RunFailed) as error:
        (folder / "error.txt").write_text(f"{error}")
        return 2 if isinstance(error, UserError) else 1
