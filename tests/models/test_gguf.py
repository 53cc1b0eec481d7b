import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.families import FAMILIES, tiny, tiny_tokenizer
from tests.gguf_file import write_gguf
from tunesmith.core.errors import UserError
from tunesmith.models.gguf import plain_folder
from tunesmith.models.gguf_header import read_header


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny("llama"), tiny_tokenizer())


def test_a_file_becomes_a_plain_folder_with_the_same_network_and_tokenizer(dense: Path, tmp_path: Path) -> None:
    said: list[str] = []
    folder = plain_folder(dense, tmp_path, said.append)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config and config["dtype"] == "bfloat16"
    expected, found = tiny("llama").bfloat16(), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    stored = found.state_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(value, stored[name]), name
    turns = [{"role": "user", "content": "Grüße, miller?"}]
    ours, theirs = tiny_tokenizer(), AutoTokenizer.from_pretrained(folder)
    assert theirs.apply_chat_template(turns, tokenize=False) == ours.apply_chat_template(turns, tokenize=False)
    assert theirs.decode(theirs("the mill and the river")["input_ids"]) == "the mill and the river"
    assert (theirs.eos_token, theirs.pad_token) == (ours.eos_token, ours.pad_token)

    said.clear()
    assert plain_folder(dense, tmp_path, said.append) == folder
    assert not said, "the second start converts nothing"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["converted", "fingerprints.json"]
    assert [p.name for p in (tmp_path / "converted").iterdir()] == [folder.name]


def test_a_quantised_file_is_dequantised_and_says_so(tmp_path: Path) -> None:
    config = FAMILIES["llama-tied"]()
    config.hidden_size, config.intermediate_size, config.head_dim = 64, 96, 16  # whole blocks of 32
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config)
    path = write_gguf(tmp_path / "q.gguf", network, tiny_tokenizer(), quantised=True)
    assert read_header(path).storage == "Q8_0"

    said: list[str] = []
    folder = plain_folder(path, tmp_path / "cache", said.append)
    assert "quantised checkpoint (Q8_0), dequantised to bfloat16" in said[0]
    record = json.loads((folder / "converted.json").read_text())
    assert record["storage"] == read_header(path).kinds and record["licence"] == "mit"
    stored = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in stored, "the head is tied"
    for name, value in stored.items():
        assert value.dtype == torch.bfloat16
        torch.testing.assert_close(value.float(), network.get_parameter(name).detach(), atol=1e-3, rtol=2e-2)


def test_a_converted_folder_that_was_damaged_is_made_again(dense: Path, tmp_path: Path) -> None:
    said: list[str] = []
    folder = plain_folder(dense, tmp_path, said.append)
    whole = (folder / "model.safetensors").read_bytes()
    for spoil in (lambda p: p.write_bytes(whole[:-7]), lambda p: p.unlink()):
        spoil(folder / "model.safetensors")
        said.clear()
        assert plain_folder(dense, tmp_path, said.append) == folder
        assert "damaged since it was made" in said[0]
        assert (folder / "model.safetensors").read_bytes() == whole, "a conversion gives the same bytes"


def test_a_cache_that_cannot_be_written_is_named(dense: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"cache/converted.*: cannot be written"):
        plain_folder(dense, tmp_path / "cache", lambda _: None)


def test_the_header_tells_what_is_inside(dense: Path) -> None:
    header = read_header(dense)
    assert (header.architecture, header.licence, header.storage) == ("llama", "mit", "F32")
    assert header.values["llama.block_count"] == 2
    assert header.values["tokenizer.ggml.tokens"] == 320


def test_a_truncated_file_is_refused_wherever_it_ends(dense: Path, tmp_path: Path) -> None:
    whole = dense.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(4, 400, 7), *range(400, len(whole), 9973), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.gguf: truncated"):
            read_header(path)


def test_damage_is_refused_without_a_traceback(dense: Path, tmp_path: Path) -> None:
    whole = dense.read_bytes()
    path = tmp_path / "bad.gguf"
    cases = {
        "not a GGUF file": b"PK\x03\x04" + whole[4:],
        "GGUF version 9": whole[:4] + struct.pack("<I", 9) + whole[8:],
        "tensors; more than": whole[:8] + struct.pack("<Q", 1 << 60) + whole[16:],
        "keys; more than": whole[:16] + struct.pack("<Q", 1 << 60) + whole[24:],
        "bytes in one text": whole[:24] + struct.pack("<Q", 1 << 60) + whole[32:],
    }
    for reason, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=reason):
            read_header(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(UserError, match="not a GGUF file"):
        read_header(tmp_path / "empty.gguf")


def test_a_family_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "x.gguf", tiny("llama"), tiny_tokenizer()).read_bytes()
    (tmp_path / "x.gguf").write_bytes(whole.replace(b"llama", b"lamma"))
    with pytest.raises(UserError, match=r"x\.gguf: transformers cannot convert `lamma`"):
        plain_folder(tmp_path / "x.gguf", tmp_path / "cache", lambda _: None)
    assert not list((tmp_path / "cache" / "converted").iterdir())
