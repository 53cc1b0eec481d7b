"""The same encoder, rows, order and rate with plain transformers: is a classifier that learns little our fault?

    python benchmarks/plain_head.py RUN

RUN is a full fine-tune in float32 of a few steps, without warm-up:

    tunesmith train recipes/sentiment.yaml base=minilm-l6 data.template= objective.head_start=random \\
        method=full train.precision=float32 train.learning_rate=1e-4 train.batch_size=16 train.max_steps=12 \\
        train.schedule=constant train.warmup=0 train.threads=1 evaluate.enabled=false output=RUN
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification

from tunesmith.core.order import step_indices
from tunesmith.opening import open_source, read_run_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    folder: Path = parser.parse_args().run
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    ours = [line["loss"] for line in lines if "loss" in line]
    theirs = plain(folder, len(ours))
    for step, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
        print(f"step {step:3}  tunesmith {one:.6f}  transformers {other:.6f}  apart {abs(one - other):.1e}")


def plain(folder: Path, steps: int) -> list[float]:
    recipe = read_run_recipe(folder)
    source = open_source(recipe, lambda _: None)
    rows: list[Any] = list(source.prepared.train)
    labels, train = len(source.prepared.labels), recipe.train
    network = AutoModelForSequenceClassification.from_pretrained(source.place.path, num_labels=labels).eval()
    with torch.no_grad():
        draw = torch.Generator().manual_seed(train.seed)
        spread = network.config.initializer_range
        network.classifier.weight.copy_(spread * torch.randn(network.classifier.weight.shape, generator=draw))
        network.classifier.bias.zero_()
    adamw = torch.optim.AdamW(network.parameters(), lr=train.rate, betas=train.betas, weight_decay=0.0)
    losses = []
    for step in range(steps):
        some = [rows[place] for place in step_indices(train.seed, len(rows), train.batch_size, step)]
        longest = max(len(row.tokens) for row in some)
        tokens = torch.tensor([[*row.tokens, *[0] * (longest - len(row.tokens))] for row in some])
        present = torch.tensor([[1] * len(row.tokens) + [0] * (longest - len(row.tokens)) for row in some])
        logits = network(input_ids=tokens, attention_mask=present).logits
        loss = F.cross_entropy(logits, torch.tensor([int(row.target) for row in some]))
        adamw.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip or float("inf"))
        adamw.step()
        losses.append(float(loss))
    return losses


if __name__ == "__main__":
    main()
