"""What every method promises on a network that ends in scores. A new method is tested here without an edit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.contracts.methods import NAMES, made
from tests.export.oracle import HASH, ROW, far, stir
from tests.families import ENCODERS, FAMILIES, tiny_scored, tiny_tokenizer
from tunesmith.attached import attach_adapter
from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.core.errors import UserError
from tunesmith.core.headed import Mark, head_modules, mark_of
from tunesmith.export.adapter import adapter_head, write_adapter
from tunesmith.export.plain import write_model
from tunesmith.fresh import fresh_logits
from tunesmith.methods.activity import base_only
from tunesmith.methods.head import VIRTUAL, with_head
from tunesmith.methods.method import MethodConfig
from tunesmith.models.scored import Scored
from tunesmith.proof import frozen_digest, trained_digest, trained_moved

CLOSE = 1e-5
FEW = ("llama", "qwen3_moe", "gpt2", "bert", "roberta")
whole = {name for name in NAMES if made(name).kind == "full"}


def _possible(name: str, family: str) -> bool:
    return not (family in ENCODERS and made(name).kind in VIRTUAL)


PAIRS = [(name, family) for name in NAMES for family in FEW if _possible(name, family)]
PAIRS += [("lora", family) for family in (*FAMILIES, *ENCODERS) if family not in FEW]
everywhere = pytest.mark.parametrize(("name", "family"), PAIRS)


@torch.no_grad()
def _scores(network: Any) -> Tensor:
    scores: Tensor = network(input_ids=ROW).logits.float()
    return scores


def _attached(name: str, family: str, network: Any = None) -> tuple[MethodConfig, Any]:
    network = network if network is not None else tiny_scored(family)
    method = with_head(made(name), network)
    torch.manual_seed(3)
    method.attach(network)
    network.eval()
    if method.needs_data:
        method.prepare(network, _given(network))
    return method, network


def _given(network: Any) -> Any:
    from tests.contracts.methods import texts
    from tunesmith.methods.method import Given

    def feed() -> None:
        with torch.no_grad():
            Scored(network).eval()(_batch())

    return Given(texts(), lambda text: [len(word) for word in text.split()], feed)


def _batch() -> TokenBatch:
    draw = torch.Generator().manual_seed(4)
    rows = [torch.randint(5, 320, (n,), generator=draw).tolist() for n in (9, 14, 5)]
    return pack([Example(row, [False] * len(row), i) for i, row in enumerate(rows)])


@everywhere
def test_attached_and_untrained_it_is_the_base_with_its_new_head(name: str, family: str) -> None:
    method, network = _attached(name, family)
    assert (far(_scores(network), _scores(tiny_scored(family))) < CLOSE) == method.starts_as_base


@everywhere
def test_the_head_and_the_method_train_and_nothing_else(name: str, family: str) -> None:
    _, network = _attached(name, family)
    frozen, trained = frozen_digest(network), trained_digest(network)
    modules = head_modules(network)
    assert all(any(key.startswith(module + ".") for key in trained) for module in modules)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2, weight_decay=0)
    model = Scored(network).train()
    for _ in range(3):
        optimizer.zero_grad()
        model(_batch()).square().sum().backward()
        optimizer.step()
    assert frozen_digest(network) == frozen
    if family != "bert" or name in whole:  # a bias of keys changes no probability
        check = trained_moved(trained, network, steps=1)
        assert check.passed, check.sentence


@everywhere
def test_the_head_is_no_target_of_the_method(name: str, family: str) -> None:
    _, network = _attached(name, family)
    heads = head_modules(network)
    layers = [key for key, module in network.named_modules() if hasattr(module, "active") and key]
    inside = [key for key in layers if any(key == head or key.startswith(head + ".") for head in heads)]
    assert inside == ([] if name in whole else sorted(heads, key=layers.index))


@everywhere
def test_what_is_written_comes_back_equal(name: str, family: str, tmp_path: Path) -> None:
    method, network = _attached(name, family)
    stir(network)
    mark: Mark | None = mark_of(network)
    assert mark is not None
    if name in whole:
        folder = write_model(tmp_path / "model", network, tiny_tokenizer(), dtype=torch.float32)
        assert far(fresh_logits(folder, ROW.tolist(), dtype=torch.float32), _scores(network)) < CLOSE
        return
    described = method.described(network)
    assert described["task_type"] == "SEQ_CLS" and described["modules_to_save"] == list(mark.modules)
    write_adapter(
        tmp_path / "adapter", method.stored(network), described,
        base_name=family, base_fingerprint=HASH, head=mark.head,
    )  # fmt: skip
    assert adapter_head(tmp_path / "adapter") == mark.head
    again = tiny_scored(family)
    attach_adapter(again, tmp_path / "adapter")
    assert far(_scores(again.eval()), _scores(network)) < CLOSE


@everywhere
def test_switched_off_and_taken_out_it_is_the_base_with_its_first_head(name: str, family: str) -> None:
    method, network = _attached(name, family)
    base = tiny_scored(family)
    if name not in whole:
        stir(network)
        on = _scores(network)
        with base_only(network):
            assert torch.equal(_scores(network), _scores(base))
        assert torch.equal(_scores(network), on)
    method.detach(network)
    assert [(n, type(m)) for n, m in network.named_modules()] == [(n, type(m)) for n, m in base.named_modules()]
    assert torch.equal(_scores(network), _scores(base))


@everywhere
def test_merged_equals_attached(name: str, family: str) -> None:
    method, network = _attached(name, family)
    stir(network)
    before = _scores(network)
    if method.cannot_merge(network) is not None:
        with pytest.raises(UserError, match=r"^merge: "):
            method.merge(network)
        return
    method.merge(network)
    assert not any(hasattr(module, "active") for module in network.modules())
    assert far(_scores(network), before) < CLOSE


@pytest.mark.parametrize("name", [name for name in NAMES if made(name).kind in VIRTUAL])
def test_encoders_bear_no_virtual_tokens(name: str) -> None:
    with pytest.raises(UserError, match=r"^method\.kind: .*answers from its first token"):
        with_head(made(name), tiny_scored("bert"))


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_over_a_base_in_bfloat16_the_head_is_float32(family: str) -> None:
    _, network = _attached("lora", family, tiny_scored(family, dtype=torch.bfloat16))
    assert all(p.dtype == torch.float32 for p in network.parameters() if p.requires_grad)
    Scored(network).train()(_batch()).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)
    assert _scores(network).isfinite().all()
