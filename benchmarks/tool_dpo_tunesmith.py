"""One run of tunesmith's DPO on a benchmark's pairs, in a process of its own. Prints one line of JSON.

As in a run, the base reads all pairs before the first step, in passes that are full. That time is counted: each step
has its share of it.
"""

import json
import sys

import torch
from pair_work import PairWork
from process import Laps, peak_memory
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tunesmith.core.answers import Answers, tree
from tunesmith.core.batch import Example
from tunesmith.evaluate.score import score_answers
from tunesmith.methods import LoRA
from tunesmith.methods.activity import base_only
from tunesmith.models.language import CausalLM
from tunesmith.objectives.dpo import DPO
from tunesmith.streams.answers import pair_feed, pass_limit
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.schedule import factor
from tunesmith.train.step import Stepper
from tunesmith.train.world import World

PASS = 2048  # tokens of a pass at most


def run(work: PairWork, shared: bool) -> dict[str, object]:
    """`shared`: the prompt of a pair is computed once."""
    network = AutoModelForCausalLM.from_pretrained(work.base, dtype=torch.bfloat16).eval()
    model, method = CausalLM(network), LoRA(rank=work.rank, alpha=work.alpha)
    method.attach(network)
    start = load_file(work.adapter)
    with torch.no_grad():
        for name, tensor in method.stored(network).items():
            tensor.copy_(start[f"base_model.model.{name}"])
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimizer = Optimizer(trained, weight_decay=0.0, betas=(0.9, 0.999))
    stepper = Stepper(model, DPO(beta=work.beta), optimizer, World(torch.device("cpu")), clip=1.0)
    trees = [_tree(work, i, shared) for i in range(len(work.prompts))]
    ahead = Laps()
    model.eval()
    with base_only(network):
        said = dict(zip(map(id, trees), score_answers(model, trees, PASS), strict=True))
    ahead.mark()
    feed = pair_feed(lambda one: said[id(one)], pass_limit(trees, work.batch_size, PASS))
    model.train()
    losses, laps = [], Laps()
    for step in range(work.steps):
        passes = feed(trees[step * work.batch_size : (step + 1) * work.batch_size], step)
        rate = work.rate * factor(step, work.steps, kind="linear", warmup=0.0)
        losses.append(stepper.step(passes, rate)["loss"])
        laps.mark()
    shares = {clock: one[0] / work.steps for clock, one in ahead.between().items()}
    times = {clock: [one + shares[clock] for one in steps] for clock, steps in laps.between().items()}
    return {"losses": losses, **times, "peak_bytes": peak_memory(), "way": model.way}


def _tree(work: PairWork, i: int, shared: bool) -> Answers:
    prompt, answers = work.prompts[i], (work.chosen[i], work.rejected[i])
    made = [Example([*prompt, *a], [False] * len(prompt) + [True] * len(a), i) for a in answers]
    return tree(made, share=shared, better=((0, 1),))


if __name__ == "__main__":
    print(json.dumps(run(PairWork.read(sys.argv[1]), sys.argv[2:] != ["apart"])))
