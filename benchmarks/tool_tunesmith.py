"""One run of tunesmith on a benchmark's work, in a process of its own, the base packed or not. Prints one JSON line."""

import json
import sys
import time

import torch
from process import Laps, peak_memory
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from work import Work

from tunesmith.core.batch import Example, pack
from tunesmith.methods import LoRA
from tunesmith.models.language import CausalLM
from tunesmith.models.quantized import quantize
from tunesmith.objectives.sft import SFT
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.schedule import factor
from tunesmith.train.step import Stepper
from tunesmith.train.world import World


def run(work: Work, packed: str | None) -> dict[str, object]:
    network = AutoModelForCausalLM.from_pretrained(work.base, dtype=torch.bfloat16).eval()
    begin = time.perf_counter()
    if packed is not None:
        quantize(network, packed)
    packing = time.perf_counter() - begin
    held = sum(t.nbytes for t in {id(t): t for t in [*network.parameters(), *network.buffers()]}.values())
    model = CausalLM(network)
    method = LoRA(rank=work.rank, alpha=work.alpha)
    method.attach(network)
    start = load_file(work.adapter)
    with torch.no_grad():
        for name, tensor in method.stored(network).items():
            tensor.copy_(start[f"base_model.model.{name}"])
    return train(work, model) | {"base_bytes": held, "packing_seconds": packing}


def train(work: Work, model: CausalLM) -> dict[str, object]:
    """Train what is attached to `model` on the work."""
    model.train()
    trained = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
    optimizer = Optimizer(trained, weight_decay=0.0, betas=(0.9, 0.999))
    stepper = Stepper(model, SFT(), optimizer, World(torch.device("cpu")), clip=1.0)
    losses, laps = [], Laps()
    for step in range(work.steps):
        rows = range(step * work.batch_size, (step + 1) * work.batch_size)
        batch = pack([Example(work.tokens[i], work.trained[i], i) for i in rows], share=True)
        rate = work.rate * factor(step, work.steps, kind="linear", warmup=0.0)
        losses.append(stepper.step([batch], rate)["loss"])
        laps.mark()
    return {"losses": losses, **laps.between(), "peak_bytes": peak_memory(), "way": model.way}


if __name__ == "__main__":
    print(json.dumps(run(Work.read(sys.argv[1]), sys.argv[2] if sys.argv[2:] else None)))
