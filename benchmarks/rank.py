"""Is a higher rank more expressive? Random facts must be learned by heart through one layer, at several ranks.

python benchmarks/rank.py [--ranks 1,4,16] [--facts 16] [--steps 60] [--rates 5e-3,1e-2]

Each rank gets the best of the same rates: what is left is what its width can hold. Two numbers are told: the loss after
training in nats a digit (one that is guessed costs 2.3), and the share of digits that are right.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from turns import HERE, default_base, machine

from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.methods.lora import LoRA
from tunesmith.models.language import CausalLM
from tunesmith.objectives.sft import SFT
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.schedule import factor
from tunesmith.train.step import Stepper
from tunesmith.train.world import World

LAYER = "layers.8.mlp.down_proj"
"""Of 30. In the last layer the same rank learns far more slowly: what it writes is only read out, not worked on."""
DIGITS = 6


def facts(tokenizer: Any, count: int) -> TokenBatch:
    """Names with random numbers, a token a digit; nothing but memory can know them."""
    dice = random.Random(0)
    examples = []
    for row in range(count):
        asked = tokenizer(f"The number of {dice.randrange(10**4)} is")["input_ids"]
        digits = [tokenizer(str(dice.randrange(10)))["input_ids"][-1] for _ in range(DIGITS)]
        examples.append(Example([*asked, *digits], [False] * len(asked) + [True] * DIGITS, row))
    return pack(examples)


def learned(base: Path, batch: TokenBatch, rank: int, rate: float, steps: int) -> tuple[float, float]:
    """-> nats a digit after training, and the share of digits that have a probability above a half."""
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).eval()
    model = CausalLM(network)
    torch.manual_seed(0)
    LoRA(rank=rank, alpha=2.0 * rank, targets=(LAYER,)).attach(network)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    stepper = Stepper(
        model.train(),
        SFT(),
        Optimizer(trained, weight_decay=0.0, betas=(0.9, 0.999)),
        World(torch.device("cpu")),
        clip=1.0,
    )
    for step in range(steps):
        stepper.step([batch], rate * factor(step, steps, kind="cosine", warmup=0.05))
    with torch.no_grad():
        logprobs = model.eval()(batch)
    return float(-logprobs.mean()), float((logprobs > -0.693).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,4,16")
    parser.add_argument("--rates", default="5e-3,1e-2")
    parser.add_argument("--facts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "rank.json")
    asked = parser.parse_args()
    base = default_base()
    batch = facts(AutoTokenizer.from_pretrained(base), asked.facts)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for rank in map(int, asked.ranks.split(",")):
        tried = {rate: learned(base, batch, rank, float(rate), asked.steps) for rate in asked.rates.split(",")}
        found[str(rank)] = tried
        best = min(tried, key=lambda rate: tried[rate][0])
        loss, right = tried[best]
        print(
            f"rank {rank}: {loss:.3f} nats a digit, {right:.0%} of {batch.units} digits known (rate {best})", flush=True
        )
    result = {
        "machine": machine(),
        "layer": LAYER,
        "facts": asked.facts,
        "digits": batch.units,
        "steps": asked.steps,
        "ranks": found,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
