"""Greedy answers beside transformers' `generate`: the same network in the same process, in turns.

    python benchmarks/generate.py                          # the demo's base in bfloat16, 16 rows at a time, 3 rounds
    python benchmarks/generate.py --dtype float32 --rounds 1

Two works. `equal lengths`: one batch, every answer has as many tokens. `own lengths`: several batches' worth of prompts
whose answers end by themselves, where transformers waits for the longest of each batch. Tokens of answers are counted.

Answers that differ are judged by the same network in float32 where they part: the gap is what the less likely of both
tokens is less likely by, in nats. Rounding in bfloat16 decides where it is small.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from turns import HERE, default_base, machine

from tunesmith.catalogue.fetch import fetch
from tunesmith.models.generate import Sampling, generate

ASKED = "In one sentence, what does the writer of this review say about the drug?\n\n"
NEVER = -1  # a stop token that does not come
Answers = list[list[int]]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--base", type=Path)
    asked.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    asked.add_argument("--rows", type=int, default=16, help="rows side by side")
    asked.add_argument("--batches", type=int, default=4, help="batches' worth of prompts in `own lengths`")
    asked.add_argument("--tokens", type=int, default=128, help="the longest answer")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--threads", type=int)
    asked.add_argument("--itself", action="store_true", help="also: transformers in a batch beside itself one by one")
    asked.add_argument("--output", type=Path, default=HERE / "results" / "generate.json")
    given = asked.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    base = given.base or default_base()
    tokenizer = AutoTokenizer.from_pretrained(base)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, given.dtype)).eval()
    prompts = questions(tokenizer, given.rows * given.batches)
    works = {
        "equal lengths": (prompts[: given.rows], NEVER),
        "own lengths": (prompts, tokenizer.eos_token_id),
    }
    judge = network if given.dtype == "float32" else AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    found: dict[str, Any] = {
        "machine": machine(), "threads": torch.get_num_threads(), "base": base.name, "dtype": given.dtype,
        "rows": given.rows, "tokens": given.tokens,
    }  # fmt: skip
    for name, (some, stop) in works.items():
        tools = {
            "tunesmith": lambda some=some, stop=stop: ours(network, some, stop, given),
            "transformers": lambda some=some, stop=stop: theirs(network, some, stop, given),
        }
        found[name] = compared(tools, some, judge, given.rounds)
        print(name, json.dumps(found[name], indent=2), flush=True)
    if given.itself:
        some = prompts[: given.rows]
        alone = [theirs(network, [prompt], NEVER, given)[0] for prompt in some]
        pairs = zip(theirs(network, some, NEVER, given), alone, strict=True)
        found["transformers equal to itself alone"] = sum(one == other for one, other in pairs)
    given.output.write_text(json.dumps(found, indent=2) + "\n")


def compared(
    tools: dict[str, Callable[[], Answers]], prompts: Sequence[list[int]], judge: Any, rounds: int
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {tool: [] for tool in tools}
    processor: dict[str, list[float]] = {tool: [] for tool in tools}
    answers: dict[str, Answers] = {}
    for number in range(rounds + 1):
        for tool, act in tools.items():
            begin, used = time.perf_counter(), time.process_time()
            answers[tool] = act()
            if number:  # the first round prepares kernels
                seconds[tool].append(time.perf_counter() - begin)
                processor[tool].append(time.process_time() - used)
    speeds = {tool: sum(map(len, answers[tool])) / median(seconds[tool]) for tool in tools}
    pairs = list(zip(prompts, answers["tunesmith"], answers["transformers"], strict=True))
    return {
        "prompts": len(prompts),
        "tokens_of_prompts": sum(map(len, prompts)),
        "tokens_of_answers": sum(map(len, answers["tunesmith"])),
        "seconds": {tool: [round(one, 3) for one in took] for tool, took in seconds.items()},
        "processor_seconds": {tool: [round(one, 3) for one in took] for tool, took in processor.items()},
        "tokens_per_second": {tool: round(speed, 1) for tool, speed in speeds.items()},
        "times_as_fast": round(speeds["tunesmith"] / speeds["transformers"], 2),
        "times_as_fast_by_processor": round(
            median(processor["transformers"])
            / median(processor["tunesmith"])
            * sum(map(len, answers["tunesmith"]))
            / sum(map(len, answers["transformers"])),
            2,
        ),
        "equal_answers": sum(one == other for _, one, other in pairs),
        "gaps_where_they_part": [round(gap(judge, *pair), 4) for pair in pairs if pair[1] != pair[2]],
    }


def ours(network: Any, prompts: Sequence[list[int]], stop: int, given: argparse.Namespace) -> Answers:
    written = generate(network, prompts, {stop}, Sampling(tokens=given.tokens), at_once=given.rows)
    return [one.tokens for one in written]


def theirs(network: Any, prompts: Sequence[list[int]], stop: int, given: argparse.Namespace) -> Answers:
    answers: Answers = []
    for start in range(0, len(prompts), given.rows):
        some = prompts[start : start + given.rows]
        longest = max(map(len, some))
        tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in some])
        present = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in some])
        said = network.generate(
            tokens, attention_mask=present, do_sample=False, max_new_tokens=given.tokens, pad_token_id=0,
            eos_token_id=None if stop == NEVER else stop,
        )  # fmt: skip
        for row in said[:, longest:].tolist():
            answers.append(row[: row.index(stop) + 1] if stop in row else row)
    return answers


@torch.no_grad()
def gap(judge: Any, prompt: list[int], one: list[int], other: list[int]) -> float:
    """-> nats between the two tokens where two answers part, in float32."""
    place = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    logits = judge(torch.tensor([[*prompt, *one[:place]]])).logits[0, -1]
    return float((logits[one[place]] - logits[other[place]]).abs())


def questions(tokenizer: Any, count: int) -> list[list[int]]:
    lines = (
        (fetch("drug-reviews", allow_download=True) / "train.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    )
    asked = [[{"role": "user", "content": ASKED + json.loads(line)["text"]}] for line in lines]
    return [tokenizer.apply_chat_template(one, add_generation_prompt=True, return_dict=False) for one in asked]


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
