"""Two adapters side by side, and what a folder of adapters holds."""

import math
from pathlib import Path

import pytest

from tests.test_shelf import made
from tunesmith.combine import Way, combine, compare, listed, read
from tunesmith.combine.read import norms
from tunesmith.core.errors import UserError
from tunesmith.methods.lora import LoRA
from tunesmith.methods.prefix import Prefix


def test_the_numbers_are_those_of_the_whole_updates(tmp_path: Path) -> None:
    a = read(made("llama", tmp_path / "a", LoRA(rank=2, alpha=3), seed=1))
    b = read(made("llama", tmp_path / "b", LoRA(rank=5, rank_stabilized=True), seed=2))
    found = compare(a, b)
    assert (found.equal, found.same_kind, found.base) == (False, True, "same")
    assert set(found.layers) == set(a.factors)
    sums = [0.0, 0.0, 0.0]
    for layer, near in found.layers.items():
        x, y = a.factors[layer].whole.double(), b.factors[layer].whole.double()
        assert near.cosine == pytest.approx(float((x * y).sum() / (x.norm() * y.norm())), abs=1e-6)
        assert near.distance == pytest.approx(float((x - y).norm() / x.norm()), rel=1e-5)
        assert norms(a)[layer] == pytest.approx(float(x.norm()), rel=1e-5)
        sums = [s + float(v.sum()) for s, v in zip(sums, (x * x, y * y, x * y), strict=True)]
    assert found.total is not None
    assert found.total.cosine == pytest.approx(sums[2] / math.sqrt(sums[0] * sums[1]), abs=1e-6)


def test_the_same_the_double_and_the_opposite(tmp_path: Path) -> None:
    a = made("llama", tmp_path / "a", LoRA(rank=2))
    for weight, cosine, distance in ((1.0, 1.0, 0.0), (2.0, 1.0, 1.0), (-1.0, -1.0, 2.0)):
        b = combine([a], tmp_path / f"b{weight}", Way("cat", (weight,))).parts
        total = compare(read(a), b).total
        assert total is not None
        assert total.cosine == pytest.approx(cosine, abs=1e-6)
        assert total.distance == pytest.approx(distance, abs=1e-3)
    assert compare(read(a), read(a)).equal


def test_what_is_not_shared_is_named(tmp_path: Path) -> None:
    a = read(made("llama", tmp_path / "a", LoRA(rank=2, targets=("q_proj", "up_proj"))))
    b = read(made("gemma", tmp_path / "b", LoRA(rank=2, targets=("q_proj", "k_proj"))))
    prefix = read(made("llama", tmp_path / "p", Prefix(tokens=3)))
    found = compare(a, b)
    assert {name.rpartition(".")[2] for name in found.only_first} == {"up_proj"}
    assert {name.rpartition(".")[2] for name in found.only_second} == {"k_proj"}
    assert len(found.other_shape) == 2 and found.total is None
    assert not compare(a, prefix).same_kind and compare(a, prefix).total is None
    twin = read(made("llama", tmp_path / "q", Prefix(tokens=3), seed=5))
    assert set(compare(prefix, twin).layers) == {"prompt_embeddings"}
    experts = read(made("mixtral", tmp_path / "m", LoRA(rank=2)))
    assert compare(experts, experts).total is not None and norms(experts)


def test_a_folder_is_listed_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    made("llama", tmp_path / "x" / "a", LoRA(rank=2))
    (made("llama", tmp_path / "x" / "b", LoRA(rank=2)) / "adapter_model.safetensors").unlink()
    found = list(listed(tmp_path))
    assert [isinstance(one, UserError) for one in found] == [False, True]
    with pytest.raises(UserError, match="no such folder"):
        list(listed(tmp_path / "nowhere"))
