"""What every method promises, on every family. A new method is tested here without an edit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from tests.export.oracle import HASH, ROW, far, logits, stir
from tests.families import FAMILIES, VOCABULARY, tiny, tiny_tokenizer
from tunesmith.attached import attach_adapter
from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.core.errors import UserError
from tunesmith.export.adapter import write_adapter
from tunesmith.export.plain import write_model
from tunesmith.fresh import fresh_logits
from tunesmith.methods import AnyMethod
from tunesmith.methods.activity import base_only
from tunesmith.methods.stored import load_stored
from tunesmith.models.language import CausalLM
from tunesmith.proof import frozen_digest, trained_digest, trained_moved

METHODS: dict[str, Callable[[], Any]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(AnyMethod)[0])
}
everywhere = pytest.mark.parametrize("family", FAMILIES)
each = pytest.mark.parametrize("kind", METHODS)


def attached(kind: str, family: str, dtype: torch.dtype = torch.float32) -> tuple[Any, nn.Module]:
    method, network = METHODS[kind](), tiny(family, dtype=dtype)
    torch.manual_seed(3)
    method.attach(network)
    return method, network


def batch() -> TokenBatch:
    draw = torch.Generator().manual_seed(4)
    texts = [torch.randint(VOCABULARY, (n,), generator=draw).tolist() for n in (9, 14, 5)]
    return pack([Example(text, [True] * len(text), row) for row, text in enumerate(texts)])


def gradients(network: nn.Module) -> dict[str, Tensor]:
    (-CausalLM(network).train()(batch()).sum()).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_the_union_is_not_empty() -> None:
    assert {"lora", "full"} <= set(METHODS)


@everywhere
@each
def test_attached_and_untrained_it_is_the_base(kind: str, family: str) -> None:
    _, network = attached(kind, family)
    assert torch.equal(logits(network), logits(tiny(family)))


@everywhere
@each
def test_every_trained_tensor_gets_a_gradient_and_no_other(kind: str, family: str) -> None:
    _, network = attached(kind, family)
    stir(network)
    found = gradients(network)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert set(found) == trained
    assert all(g.isfinite().all() for g in found.values())
    silent = [name for name, g in found.items() if not g.any()]
    assert not silent


@everywhere
@each
def test_two_steps_move_what_trains_and_nothing_else(kind: str, family: str) -> None:
    _, network = attached(kind, family)
    frozen, trained = frozen_digest(network), trained_digest(network)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3, weight_decay=0)
    for _ in range(2):
        optimizer.zero_grad()
        gradients(network)
        optimizer.step()
    assert frozen_digest(network) == frozen
    check = trained_moved(trained, network, steps=2)
    assert check.passed, check.sentence


@everywhere
@each
def test_merged_equals_attached(kind: str, family: str) -> None:
    method, network = attached(kind, family)
    stir(network)
    before = logits(network)
    method.merge(network)
    assert not any(hasattr(module, "active") for module in network.modules())
    assert far(logits(network), before) < 1e-5
    if kind != "full":
        assert far(logits(tiny(family)), before) > 1e-2, "an update that does nothing proves nothing"


@everywhere
@each
def test_what_is_stored_comes_back_equal(kind: str, family: str) -> None:
    method, network = attached(kind, family)
    stir(network)
    stored = {name: tensor.detach().clone() for name, tensor in method.stored(network).items()}
    assert stored
    other, again = attached(kind, family)
    load_stored(other, again, stored)
    assert torch.equal(logits(again), logits(network))


@everywhere
@each
def test_detached_the_tree_is_as_it_was(kind: str, family: str) -> None:
    method, network = attached(kind, family)
    method.detach(network)
    base = tiny(family)
    assert [(n, type(m)) for n, m in network.named_modules()] == [(n, type(m)) for n, m in base.named_modules()]
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), base.parameters(), strict=True))
    assert not any(p.requires_grad for p in network.parameters())


@everywhere
@each
def test_in_bfloat16_it_runs_and_trains(kind: str, family: str) -> None:
    _, network = attached(kind, family, torch.bfloat16)
    stir(network)
    found = gradients(network)
    assert found
    assert all(g.isfinite().all() for g in found.values())
    assert sum(bool(g.any()) for g in found.values()) == len(found)


@everywhere
@pytest.mark.parametrize("kind", [kind for kind in METHODS if kind != "full"])
def test_switched_off_it_is_the_base(kind: str, family: str) -> None:
    _, network = attached(kind, family)
    stir(network)
    on = logits(network)
    with base_only(network):
        assert torch.equal(logits(network), logits(tiny(family)))
    assert torch.equal(logits(network), on)


@each
def test_no_target_is_an_error_that_names_what_is_near(kind: str) -> None:
    network = tiny("llama")
    before = [type(m) for m in network.modules()]
    with pytest.raises(UserError, match=r"method\.targets: `q_porj` matches no .*q_proj") as caught:
        METHODS[kind](targets=("q_porj",)).attach(network)
    assert "\n" not in str(caught.value)
    assert [type(m) for m in network.modules()] == before


@each
def test_a_fresh_process_reads_the_same_model(kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    method, network = attached(kind, "qwen3")
    stir(network)
    base, adapter = tiny_folder("qwen3"), None
    if kind == "full":
        base = write_model(tmp_path / "model", network, tiny_tokenizer(), dtype=torch.float32)
    else:
        stored, described = method.stored(network), method.described(network)
        adapter = write_adapter(tmp_path / "adapter", stored, described, base_name="q", base_fingerprint=HASH)
        again = tiny("qwen3")
        attach_adapter(again, adapter)
        assert torch.equal(logits(again), logits(network))
    assert torch.equal(fresh_logits(base, ROW.tolist(), adapter=adapter, dtype=torch.float32), logits(network))
