import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.families import tiny, tiny_tokenizer
from tests.gguf_file import write_gguf
from tunesmith import bases
from tunesmith.bases import load_base, resolve
from tunesmith.catalogue import fetch
from tunesmith.catalogue.entries import CATALOGUE, SMOLLM2_135M
from tunesmith.core.errors import UserError
from tunesmith.models import hub


def _nothing(_: str) -> None:
    return None


def _cached(cache: Path) -> Path:
    """A cache in which a tiny model stands for smollm2-135m."""
    folder = cache / "catalogue" / f"smollm2-135m-0.1.2-{SMOLLM2_135M.sha256[:12]}"
    folder.mkdir(parents=True)
    return write_gguf(folder / SMOLLM2_135M.gives, tiny("llama"), tiny_tokenizer())


def test_a_name_of_the_catalogue_is_found_in_the_cache_and_loads(tmp_path: Path) -> None:
    path = _cached(tmp_path)
    place = resolve("smollm2-135m", allow_download=False, cache=tmp_path, say=_nothing)
    assert (place.path, place.licence, place.source) == (path, "Apache-2.0", SMOLLM2_135M.source)
    base = load_base("smollm2-135m", dtype=torch.float32, cache=tmp_path, say=_nothing)
    assert base.name == "smollm2-135m" and base.licence == "Apache-2.0"
    assert base.note is not None and "4-bit checkpoint" in base.note
    assert {p.dtype for p in base.network.parameters()} == {torch.float32}


def test_naming_a_base_of_the_catalogue_is_not_asking_for_its_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(bases, "fetch", lambda *_, allow_download, **__: asked.append(allow_download) or tmp_path)
    resolve("smollm2-135m", cache=tmp_path)
    for allowed in (True, False):
        resolve("smollm2-135m", allow_download=allowed, cache=tmp_path)
    assert asked == [False, True, False]


def test_folders_and_gguf_files_are_taken_as_they_are(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny_folder("gpt2")
    assert resolve(str(folder)).path == folder
    gguf = tmp_path / "x.gguf"
    gguf.touch()
    assert resolve(str(gguf)).path == gguf
    (tmp_path / "weights.onnx").touch()
    with pytest.raises(UserError, match=r"weights\.onnx is a file; a base is a folder"):
        resolve(str(tmp_path / "weights.onnx"))


def test_what_is_not_there_is_named_with_what_is_near() -> None:
    with pytest.raises(UserError, match=r"`smollm-135m`; did you mean `smollm2-135m`"):
        resolve("smollm-135m")
    with pytest.raises(UserError, match=r"no folder, file or name of the catalogue is called `models/x\.gguf`"):
        resolve("models/x.gguf")
    with pytest.raises(
        UserError, match="`drug-reviews` is reviews of medicines, not a base; the catalogue has smollm2"
    ):
        resolve("drug-reviews")


def test_a_hub_id_needs_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[bool] = []

    def snapshot_download(model: str, *, local_files_only: bool, **more: object) -> str:
        calls.append(local_files_only)
        assert model == "someone/model" and more["revision"] == "main"
        assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in hub.WANTED if pattern != "tokenizer*")
        if local_files_only:
            raise hub.LocalEntryNotFoundError("not here")
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    for allowed in (None, False):
        with pytest.raises(UserError, match="tunesmith bases --get someone/model@main"):
            resolve("someone/model@main", allow_download=allowed)
    assert calls == [True, True], "nothing but the local cache was asked"
    assert resolve("someone/model@main", allow_download=True).path == tmp_path


def test_a_hub_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(*_: object, local_files_only: bool, **__: object) -> str:
        raise hub.LocalEntryNotFoundError("no network\nat all")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    with pytest.raises(UserError, match="someone/model: the download from the model hub failed: no network at all"):
        resolve("someone/model", allow_download=True)


@pytest.mark.slow
def test_smollm2_is_fetched_converted_and_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    base = load_base("smollm2-135m", dtype=torch.bfloat16, allow_download=True, cache=tmp_path, say=said.append)
    assert any("Apache-2.0" in line for line in said) and any("dequantised" in line for line in said)
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = base.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        answer = base.network.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in base.tokenizer.decode(answer[0])
    assert sum(p.numel() for p in base.network.parameters()) == 134_515_008
    assert base.context == 8192

    monkeypatch.setattr(sys, "executable", "/nowhere")
    begin = time.monotonic()
    again = load_base("smollm2-135m", dtype=torch.bfloat16, cache=tmp_path, say=said.append)
    assert time.monotonic() - begin < 10 and again.fingerprint == base.fingerprint


@pytest.mark.slow
def test_the_drug_reviews_are_fetched(tmp_path: Path) -> None:
    folder = fetch.fetch("drug-reviews", allow_download=True, cache=tmp_path, say=_nothing)
    counts = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in folder.iterdir()}
    assert counts == {"train.jsonl": 600, "test.jsonl": 379}
    shutil.rmtree(folder)
    assert not fetch.is_here("drug-reviews", tmp_path) and "drug-reviews" in CATALOGUE
