"""What every tool of a benchmark is given: the same tokens in the same order, and the same start of the adapter."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from tunesmith.catalogue.fetch import fetch
from tunesmith.data.config import Data
from tunesmith.data.prepare import prepare
from tunesmith.methods import LoRA

SHARE_ASKED = 0.8  # of the words of a text: the model is asked to write the rest


@dataclass(frozen=True, slots=True)
class Work:
    """A benchmark's order to a tool. Each tool reads it from a file."""

    base: str
    adapter: str  # PEFT's names: where training starts
    rank: int
    alpha: float
    batch_size: int
    steps: int
    rate: float
    tokens: list[list[int]]  # one list a row, in the order of training
    trained: list[list[bool]]

    @classmethod
    def read(cls, path: str) -> "Work":
        return cls(**json.loads(Path(path).read_text()))

    def units_of_step(self) -> list[int]:
        """-> how many tokens, padding not counted, each step has."""
        size = self.batch_size
        return [sum(map(len, self.tokens[i : i + size])) for i in range(0, len(self.tokens), size)]

    def grouped(self) -> "Work":
        """The same rows with those of similar length in one batch, the batches in random order."""
        size = self.batch_size
        order = sorted(range(len(self.tokens)), key=lambda i: len(self.tokens[i]))
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        random.Random(0).shuffle(batches)
        places = [i for batch in batches for i in batch]
        changed = {"tokens": [self.tokens[i] for i in places], "trained": [self.trained[i] for i in places]}
        return Work(**(asdict(self) | changed))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def described(self) -> dict[str, Any]:
        """-> what a result says of it."""
        return {
            "base": Path(self.base).name,
            "rows": len(self.tokens),
            "tokens_a_row": sum(map(len, self.tokens)) / len(self.tokens),
            "trained_share": sum(map(sum, self.trained)) / sum(map(len, self.tokens)),
            "rank": self.rank,
            "batch_size": self.batch_size,
            "steps": self.steps,
        }


def make_work(base: Path, rows: str, steps: int, folder: Path) -> Work:
    """`labels`: the demo's rows, whose answer is a label. `answers`: the last words of a review are the answer."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    batch_size, method = 8, LoRA(rank=16)
    every = (_labels if rows == "labels" else _answers)(tokenizer, base)
    chosen = random.Random(0).sample(every, steps * batch_size)
    adapter = folder / "start.safetensors"
    make_adapter(base, method, adapter)
    tokens, trained = [t for t, _ in chosen], [m for _, m in chosen]
    return Work(str(base), str(adapter), method.rank, method.alpha, batch_size, steps, 2e-4, tokens, trained)


Row = tuple[list[int], list[bool]]


def _reviews() -> Path:
    return fetch("drug-reviews", allow_download=True) / "train.jsonl"


def _labels(tokenizer: PreTrainedTokenizerBase, base: Path) -> list[Row]:
    context = json.loads((base / "config.json").read_text())["max_position_embeddings"]
    prepared = prepare(Data(train=str(_reviews())), tokenizer, context=context)
    return [(list(e.tokens), list(e.trained)) for e in prepared.train]


def _answers(tokenizer: PreTrainedTokenizerBase, base: Path) -> list[Row]:
    lines = [json.loads(line)["text"] for line in _reviews().read_text(encoding="utf-8").splitlines()]
    return [_row(tokenizer, text) for text in lines if len(text.split()) >= 10]


def _row(tokenizer: PreTrainedTokenizerBase, text: str) -> Row:
    words = text.split()
    cut = int(len(words) * SHARE_ASKED)
    asked = {"role": "user", "content": "Finish this review:\n\n" + " ".join(words[:cut])}
    answer = {"role": "assistant", "content": " ".join(words[cut:])}
    plain = {"tokenize": True, "return_dict": False}
    head = tokenizer.apply_chat_template([asked], add_generation_prompt=True, **plain)
    whole = tokenizer.apply_chat_template([asked, answer], **plain)
    assert whole[: len(head)] == head, "the chat template does not begin an answer as it asks for one"
    return whole, [i >= len(head) for i in range(len(whole))]


def make_adapter(base: Path, method: LoRA, path: Path) -> None:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    method.attach(network)
    save_file({f"base_model.model.{name}": t.detach() for name, t in method.stored(network).items()}, path)
