"""CLIP's tokenizer as transformers reads it, from the list of merges that OpenAI published with the model.

Tokens in their order: 256 bytes, the same at the end of a word, one for each merge, and the two marks.
https://github.com/openai/CLIP
"""

import gzip
import json
import zipfile
from pathlib import Path

MERGES = 49152 - 256 - 2  # of the list, which is longer
_START, _END = "<|startoftext|>", "<|endoftext|>"


def clip_words(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> vocab.json, merges.txt and tokenizer_config.json."""
    lines = gzip.decompress(wheel.read("open_clip/bpe_simple_vocab_16e6.txt.gz")).decode("utf-8").split("\n")
    merges = lines[1 : MERGES + 1]
    letters = _letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(m.split()) for m in merges), _START, _END]
    (folder / "vocab.json").write_text(
        json.dumps({word: place for place, word in enumerate(words)}, ensure_ascii=False), encoding="utf-8"
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": _START,
        "eos_token": _END,
        "unk_token": _END,
        "pad_token": _END,
        "do_lower_case": True,
        "add_prefix_space": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _letters() -> list[str]:
    """One character that can be seen for each byte: its own, or one from 256 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return [*map(chr, plain), *(chr(256 + place) for place in range(len(others)))]
