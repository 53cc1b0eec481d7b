"""CLIP's tokens out of the list of merges: in the order that the model was trained with."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from tunesmith.catalogue.clip_words import clip_words

pytestmark = pytest.mark.filterwarnings("ignore")


def test_bytes_words_merges_and_marks_stand_in_their_order(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    merges = ["c a", "ca t</w>", "o f</w>"]
    listed = gzip.compress("\n".join(['"a list"#version: 0.2', *merges]).encode())
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("open_clip/bpe_simple_vocab_16e6.txt.gz", listed)
    folder = tmp_path / "words"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "a.whl") as wheel:
        clip_words(wheel, folder)
    words = list(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    letters = list(bytes_to_unicode().values())
    assert words[:512] == [*letters, *(letter + "</w>" for letter in letters)]
    assert words[512:] == ["ca", "cat</w>", "of</w>", "<|startoftext|>", "<|endoftext|>"]
    found = CLIPTokenizer.from_pretrained(folder)("Of cat", padding="max_length").input_ids
    assert found[:4] == [515, 514, 513, 516] and len(found) == 77 and set(found[4:]) == {516}
