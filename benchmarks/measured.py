"""What a model answers to the arithmetic test questions, and how far it has moved from its base.

KL = mean over answers y drawn from the model of  sum_t sum_v p_t(v) (log p_t(v) - log q_t(v))
p, q: model and base at token t of y, over the whole vocabulary. Nats for an answer; divided by its tokens, for a token.

Shapes: B rows of a batch, S tokens, V vocabulary.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.catalogue.fetch import fetch
from tunesmith.loaded import Loaded, load
from tunesmith.models.generate import generate
from tunesmith.models.sampling import Sampling
from tunesmith.rewards.named import open_reward
from tunesmith.rewards.reward import Asked, Reward

AT_ONCE = 16
Rows = list[dict[str, Any]]


def test_rows() -> Rows:
    path = fetch("arithmetic", allow_download=True) / "test.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measured(place: str, kept: Path, tokens: int) -> dict[str, Any]:
    """-> the numbers of the run, or of the base, at `place`; they are kept in the file `kept` and not made twice."""
    if not kept.exists():
        loaded, rows = load(place, precision="bfloat16"), test_rows()
        with open_reward("number") as reward:
            greedy = answered(loaded, rows, reward, Sampling(tokens=tokens, temperature=0.0))
            drawn = answered(loaded, rows, reward, Sampling(tokens=tokens, temperature=1.0))
        found = {
            "success": mean(greedy["right"]),
            "success_drawn": mean(drawn["right"]),
            "answer_tokens": mean(greedy["lengths"]),
            "answer_tokens_drawn": mean(drawn["lengths"]),
            "right": greedy["right"],
            "shown": greedy["texts"][:8],
        }
        if loaded.has_sides:
            apart = divergence(loaded, drawn["prompts"], drawn["answers"])
            found |= {"kl_answer": mean(apart), "kl_token": sum(apart) / sum(drawn["lengths"])}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
    numbers: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return numbers


def answered(loaded: Loaded, rows: Rows, reward: Reward, sampling: Sampling) -> dict[str, Any]:
    prompts = [loaded.asked(row["prompt"]) for row in rows]
    with loaded.side("on") as network:
        written = generate(
            network, prompts, loaded.stop, sampling, seeds=range(len(rows)), at_once=32, tokenizer=loaded.tokenizer
        )
    texts = [(one.text or "").strip() for one in written]
    asked = [Asked(row["prompt"], text, row, "test") for row, text in zip(rows, texts, strict=True)]
    return {
        "prompts": prompts,
        "answers": [list(one.tokens) for one in written],
        "lengths": [len(one.tokens) for one in written],
        "texts": texts,
        "right": reward(asked).total,
    }


@torch.no_grad()
def divergence(loaded: Loaded, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> list[float]:
    """-> the distance from the base in nats, for each answer."""
    found: list[float] = []
    for start in range(0, len(prompts), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        sides = []
        for side in ("on", "off"):
            with loaded.side(side) as network:
                sides.append(said(network, prompts[some], answers[some]))
        for own, base in zip(*sides, strict=True):
            found.append(float((own.exp() * (own - base)).sum()))
    return found


def said(network: Any, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> list[Tensor]:
    """-> (S, V) for each answer: log p of every token of the vocabulary at each of its places."""
    rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])  # (B, S), padded behind
    present = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    logits = network(input_ids=tokens, attention_mask=present, use_cache=False).logits
    return [
        logits[place, len(prompt) - 1 : len(row) - 1].float().log_softmax(-1)
        for place, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
    ]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
