"""A base with a head: the base's own weights as they were, the head new, or the one that the folder has."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from tests.families import ENCODERS, FAMILIES, tiny, tiny_scored, tiny_tokenizer
from tunesmith.core.errors import UserError
from tunesmith.core.headed import Head, mark_of
from tunesmith.models.load import Base, Place, check_folder, load_base
from tunesmith.models.scored import Scored

HEAD = Head(("bad", "fair", "good"), seed=7)
Folder = Callable[[str], Path]


def _load(folder: Path, head: Head | None = HEAD, said: list[str] | None = None, **more: Any) -> Base:
    say = said.append if said is not None else lambda _: None
    more = {"dtype": torch.float32} | more
    return load_base(Place("base", folder), cache=folder.parent / "cache", say=say, head=head, **more)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_is_as_it_was_and_the_head_is_new(family: str, tiny_folder: Folder) -> None:
    said: list[str] = []
    network = _load(tiny_folder(family), said=said).network
    mark = mark_of(network)
    assert mark is not None and mark.modules == ("score",) and mark.head == HEAD and not mark.encoder
    own = dict(tiny(family).base_model.named_parameters())
    assert all(torch.equal(p, own[name]) for name, p in network.base_model.named_parameters())
    assert network.score.weight.shape == (3, 48)
    assert 0 < network.score.weight.std() < 0.04
    assert network.config.id2label == {0: "bad", 1: "fair", 2: "good"}
    assert network.config.problem_type == "single_label_classification"
    assert any("score: new, 144 random numbers from seed 7" in line for line in said)
    again, other = (_load(tiny_folder(family), Head(HEAD.labels, seed=seed)).network for seed in (7, 8))
    assert torch.equal(again.score.weight, network.score.weight)
    assert not torch.equal(other.score.weight, network.score.weight)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("encoders")

    def folder(family: str) -> Path:
        path = root / family
        if not path.exists():
            torch.manual_seed(0)
            AutoModel.from_config(ENCODERS[family]()).save_pretrained(path)
            tiny_tokenizer().save_pretrained(path)
        return path

    return folder


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_can_be_scored_and_nothing_else(family: str, encoder: Folder) -> None:
    network = _load(encoder(family)).network
    mark = mark_of(network)
    assert mark is not None and mark.encoder
    expected = {"bert": ("classifier",), "distilbert": ("classifier", "pre_classifier"), "roberta": ("classifier",)}
    assert mark.modules == expected[family]
    own = dict(AutoModel.from_pretrained(encoder(family)).named_parameters())
    assert all(torch.equal(p, own[name]) for name, p in network.base_model.named_parameters())
    with pytest.raises(UserError, match=r"no causal language model; it can classify .*objective=classify"):
        check_folder(encoder(family))
    Scored(network)


def test_an_encoder_without_a_pooler_gets_one_that_trains_beside_the_head(encoder: Folder, tmp_path: Path) -> None:
    network = AutoModel.from_pretrained(encoder("bert"), add_pooling_layer=False)
    network.save_pretrained(tmp_path / "bert")
    tiny_tokenizer().save_pretrained(tmp_path / "bert")
    mark = mark_of(_load(tmp_path / "bert").network)
    assert mark is not None and mark.modules == ("classifier", "bert.pooler")


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_trained_head_is_kept_in_our_order_of_labels_and_one_of_another_size_is_not(
    family: str, tmp_path: Path
) -> None:
    network = tiny_scored(family)
    network.config.id2label = {0: "good", 1: "bad", 2: "fair"}
    network.config.label2id = {"good": 0, "bad": 1, "fair": 2}
    network.save_pretrained(tmp_path / family)
    tiny_tokenizer().save_pretrained(tmp_path / family)
    own: Any = network.get_submodule("score" if family == "llama" else "classifier")
    name = "score" if family == "llama" else "classifier"
    said: list[str] = []
    kept: Any = _load(tmp_path / family, said=said).network.get_submodule(name)
    assert torch.equal(kept.weight, own.weight[[1, 2, 0]])
    assert said == [f"{name}: the base's own trained head is kept"]
    said.clear()
    renamed: Any = _load(tmp_path / family, Head(("a", "b", "c")), said).network.get_submodule(name)
    assert torch.equal(renamed.weight, own.weight)
    assert said == [f"{name}: the base's own trained head is kept; its good, bad, fair now stand for a, b, c"]
    said.clear()
    other: Any = _load(tmp_path / family, Head(("reward",), "regression"), said).network.get_submodule(name)
    assert other.weight.shape[0] == 1 and other.weight.std() < 0.04
    assert said[0] == "the base has a trained head of 3 scores, and 1 are wanted: it gets a new one"
    with pytest.raises(UserError, match="not a language model that writes text"):
        check_folder(tmp_path / family)


def test_a_missing_weight_of_the_base_is_no_new_head(tiny_folder: Folder, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_folder("llama"), tmp_path / "llama")
    path = tmp_path / "llama" / "model.safetensors"
    tensors = {name: t for name, t in load_file(path).items() if "layers.0.mlp.up_proj" not in name}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"weights are missing, the first is `model\.layers\.0\.mlp\.up_proj"):
        _load(tmp_path / "llama")


def test_a_family_without_such_a_form_is_refused(tiny_folder: Folder, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder("llama"), tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "t5", "architectures": None}))
    with pytest.raises(UserError, match="t5"):
        _load(tmp_path / "other")
