"""The tokenizer: byte-pair encoding learned from the captions, in the form that CLIPTokenizer reads."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RARE = ("sks", "zwx", "ohwx", "qvk", "xjq", "zkw", "vqj", "wxz")
"""Words for subjects to be taught: one token each, in no caption."""
_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"


def learn(captions: Iterable[str], size: int, folder: Path) -> Any:
    """-> the tokenizer, also kept in `folder`."""
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer
    from transformers import CLIPTokenizer

    from .networks import LENGTH

    plain = CLIPTokenizer().backend_tokenizer  # its rules for cutting a text into words
    plain.model = BPE(unk_token=_END, end_of_word_suffix="</w>", continuing_subword_prefix="")
    trainer = BpeTrainer(
        vocab_size=size - 256,
        special_tokens=[_BEGIN, _END],
        initial_alphabet=_alphabet(),
        end_of_word_suffix="</w>",
        continuing_subword_prefix="",
        show_progress=False,
    )
    texts = list(captions)
    plain.train_from_iterator([*texts, *(word for word in RARE for _ in range(len(texts)))], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = plain.model.save(str(folder))
    known = json.loads(Path(vocabulary).read_text(encoding="utf-8"))
    for letter in _alphabet():  # so that no letter of a user is unknown, also as the last of a word
        known.setdefault(f"{letter}</w>", len(known))
    pairs = [tuple(line.split(" ")) for line in Path(merges).read_text(encoding="utf-8").splitlines()[1:]]
    tokenizer = CLIPTokenizer(vocab=known, merges=pairs, model_max_length=LENGTH)
    plain_files(tokenizer, folder)
    return tokenizer


def plain_files(tokenizer: Any, folder: Path) -> None:
    """Write `tokenizer.json` and the two older files of CLIP that other programs read."""
    tokenizer.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))


def _alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def load(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def tokens(tokenizer: Any, captions: list[str]) -> Any:
    """-> (N, LENGTH), cut and padded as the pipeline does it."""
    return tokenizer(
        captions, padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt"
    ).input_ids
