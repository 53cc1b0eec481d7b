"""What a tool is told to do with preference pairs: the same tokens, in the same order, from the same start."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from work import make_adapter

from tunesmith.catalogue.fetch import fetch
from tunesmith.core.answers import Answers
from tunesmith.data.config import Data
from tunesmith.data.prepare import prepare
from tunesmith.methods import LoRA


@dataclass(frozen=True, slots=True)
class PairWork:
    """A benchmark's order. Each tool reads it from a file."""

    base: str
    adapter: str  # PEFT's names: where training starts
    rank: int
    alpha: float
    batch_size: int  # pairs
    steps: int
    rate: float
    beta: float
    prompts: list[list[int]]  # one list a pair, in the order of training
    chosen: list[list[int]]  # what is trained of the better answer
    rejected: list[list[int]]

    @classmethod
    def read(cls, path: str) -> "PairWork":
        return cls(**json.loads(Path(path).read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def units_of_step(self) -> list[int]:
        """-> the pairs of each step."""
        return [self.batch_size] * self.steps

    def described(self) -> dict[str, Any]:
        count = len(self.prompts)
        parts = {"prompt": self.prompts, "chosen": self.chosen, "rejected": self.rejected}
        return {
            "base": Path(self.base).name,
            "pairs": count,
            **{f"{name}_tokens": sum(map(len, rows)) / count for name, rows in parts.items()},
            "rank": self.rank,
            "batch_size": self.batch_size,
            "steps": self.steps,
            "beta": self.beta,
        }

    def grouped(self) -> "PairWork":
        """The same pairs with those of similar length in one batch, the batches in random order."""
        size = self.batch_size
        order = sorted(range(len(self.prompts)), key=lambda i: len(self.prompts[i]) + len(self.chosen[i]))
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        random.Random(0).shuffle(batches)
        places = [i for batch in batches for i in batch]
        parts = {name: [getattr(self, name)[i] for i in places] for name in ("prompts", "chosen", "rejected")}
        return PairWork(**(asdict(self) | parts))


def make_pairs(base: Path, rows: str, steps: int, folder: Path, batch_size: int = 8) -> PairWork:
    """`questions`: BBQ, short answers to long questions. `endings`: the true end of a review against another one's."""
    method, tokenizer = LoRA(rank=16), AutoTokenizer.from_pretrained(base)
    source = fetch("bbq-preferences", allow_download=True) / "train.jsonl" if rows == "questions" else _endings(folder)
    prepared = prepare(Data(train=str(source), split=(1, 0, 0)), tokenizer, context=2048, eats="pairs")
    drawn = random.Random(0).sample(prepared.train, steps * batch_size)
    parts = [_parts(one) for one in drawn if isinstance(one, Answers)]
    adapter = folder / "start.safetensors"
    make_adapter(base, method, adapter)
    told = (str(base), str(adapter), method.rank, method.alpha, batch_size, steps, 2e-5, 0.1)
    return PairWork(*told, *([part[i] for part in parts] for i in range(3)))


def _parts(one: Answers) -> tuple[list[int], list[int], list[int]]:
    """-> the prompt, and of both answers what is trained; a line break behind the stop token is left away."""
    first = one.paths[0]
    prompt = list(first.tokens[: list(first.trained).index(True)])
    answers = [[t for t, y in zip(path.tokens, path.trained, strict=True) if y] for path in one.paths]
    return prompt, answers[0], answers[1]


def _endings(folder: Path) -> Path:
    reviews = fetch("drug-reviews", allow_download=True) / "train.jsonl"
    words = [json.loads(line)["text"].split() for line in reviews.read_text(encoding="utf-8").splitlines()]
    long = [w for w in words if len(w) >= 40]
    path = folder / "endings.jsonl"
    with path.open("w", encoding="utf-8") as sink:
        for place, own in enumerate(long):
            other, half = long[(place + 1) % len(long)], len(own) // 2
            texts = (own[half:], other[len(other) // 2 :])
            row = {"prompt": "Finish this review:\n\n" + " ".join(own[:half])}
            sink.write(json.dumps(row | {"chosen": " ".join(texts[0]), "rejected": " ".join(texts[1])}) + "\n")
    return path
