"""What every method promises, on every family. A new method is tested here without an edit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.methods import CHANGING, FEW, NAMES, PAIRS, attached, attached_to, batch, made, reader
from tests.export.oracle import HASH, ROW, far, logits, stir
from tests.families import tiny, tiny_tokenizer
from tests.packed import packed_tiny, twin_of_packed
from tunesmith.attached import attach_adapter
from tunesmith.core.errors import UserError
from tunesmith.export.adapter import write_adapter
from tunesmith.export.plain import write_model
from tunesmith.export.tensors import fault
from tunesmith.fresh import fresh_logits
from tunesmith.methods import METHODS
from tunesmith.methods.activity import base_only
from tunesmith.methods.stored import load_stored
from tunesmith.models.language import CausalLM
from tunesmith.proof import frozen_digest, trained_digest, trained_moved
from tunesmith.recipe import Recipe

everywhere = pytest.mark.parametrize(("name", "family"), PAIRS)
each = pytest.mark.parametrize("name", NAMES)
whole = [name for name in NAMES if made(name).kind == "full"]
CLOSE = 1e-5


def gradients(network: nn.Module) -> dict[str, Tensor]:
    (-CausalLM(network).train()(batch()).sum()).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_every_kind_has_a_name() -> None:
    assert {made(name).kind for name in NAMES} == CHANGING == set(METHODS) - {"token"}


@everywhere
def test_attached_and_untrained_it_is_the_base(name: str, family: str) -> None:
    method, network = attached(name, family)
    same = far(logits(network), logits(tiny(family))) < CLOSE
    assert same == method.starts_as_base


@everywhere
def test_what_trains_gets_a_gradient_moves_and_nothing_else_does(name: str, family: str) -> None:
    _, network = attached(name, family)
    frozen, trained = frozen_digest(network), trained_digest(network)
    assert trained
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3, weight_decay=0)
    for _ in range(2):
        optimizer.zero_grad()
        found = gradients(network)
        assert set(found) == {name for name, p in network.named_parameters() if p.requires_grad}
        optimizer.step()
    assert all(g.isfinite().all() for g in found.values())
    assert not [name for name, g in found.items() if not g.any()]
    assert frozen_digest(network) == frozen
    check = trained_moved(trained, network, steps=2)
    assert check.passed, check.sentence


@everywhere
def test_merged_equals_attached_or_is_refused_with_the_reason(name: str, family: str) -> None:
    method, network = attached(name, family)
    reason = method.cannot_merge(network)
    stir(network)
    before = logits(network)
    if reason is not None:
        with pytest.raises(UserError, match=r"^merge: ") as caught:
            method.merge(network)
        assert reason in str(caught.value)
        assert torch.equal(logits(network), before)
        return
    method.merge(network)
    assert not any(hasattr(module, "active") for module in network.modules())
    assert far(logits(network), before) < CLOSE
    if name not in whole:
        assert far(logits(tiny(family)), before) > 1e-2, "an update that does nothing proves nothing"


@everywhere
def test_what_is_stored_comes_back_equal(name: str, family: str) -> None:
    method, network = attached(name, family)
    stir(network)
    stored = {key: tensor.detach().clone() for key, tensor in method.stored(network).items()}
    assert stored
    assert name in whole or fault(stored, method.described(network)) is None
    other, again = reader(method, network, family)
    load_stored(other, again, stored)
    assert far(logits(again), logits(network)) < CLOSE


@everywhere
def test_switched_off_and_taken_out_it_is_the_base(name: str, family: str) -> None:
    method, network = attached(name, family)
    base = tiny(family)
    if name not in whole:
        stir(network)
        on = logits(network)
        with base_only(network):
            assert torch.equal(logits(network), logits(base))
        assert torch.equal(logits(network), on)
    method.detach(network)
    assert [(n, type(m)) for n, m in network.named_modules()] == [(n, type(m)) for n, m in base.named_modules()]
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), base.parameters(), strict=True))
    assert not any(p.requires_grad for p in network.parameters())
    assert torch.equal(logits(network), logits(base))


@everywhere
def test_in_bfloat16_it_runs_and_trains(name: str, family: str) -> None:
    _, network = attached(name, family, torch.bfloat16)
    stir(network)
    found = gradients(network)
    assert found
    assert all(g.isfinite().all() for g in found.values())
    assert sum(bool(g.any()) for g in found.values()) == len(found)
    if name not in whole:
        assert all(p.dtype == torch.float32 for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("family", FEW)
@each
def test_over_a_packed_base_it_is_what_it_is_over_the_unpacked_one(name: str, family: str) -> None:
    if made(name).needs_dense is not None:
        with pytest.raises(UserError, match=r"^base_quantize: "):
            Recipe(data="rows.jsonl", method=made(name), base_quantize="nf4")
        return
    found: list[Any] = []
    for base in (packed_tiny(family, "nf4"), twin_of_packed(family, "nf4")):
        _, network = attached_to(base, name)
        frozen = frozen_digest(network)
        stir(network)
        found += [logits(network), gradients(network)]
        assert frozen_digest(network) == frozen
    on, mine, wanted, theirs = found
    assert far(on, wanted) < CLOSE
    assert set(mine) == set(theirs)
    assert all(far(gradient, theirs[name]) < 1e-4 for name, gradient in mine.items())


@pytest.mark.parametrize("name", [name for name in NAMES if "targets" in type(made(name)).model_fields])
def test_no_target_is_an_error_that_names_what_is_near(name: str) -> None:
    network = tiny("llama")
    before = [type(m) for m in network.modules()]
    with pytest.raises(UserError, match=r"method\.targets: `q_porj` matches no .*q_proj") as caught:
        made(name).model_copy(update={"targets": ("q_porj",)}).attach(network)
    assert "\n" not in str(caught.value)
    assert [type(m) for m in network.modules()] == before


@each
def test_a_fresh_process_reads_the_same_model(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    method, network = attached(name, "qwen3")
    stir(network)
    base, adapter = tiny_folder("qwen3"), None
    expected: Any = logits(network)
    if name in whole:
        base = write_model(tmp_path / "model", network, tiny_tokenizer(), dtype=torch.float32)
    else:
        stored, described = method.stored(network), method.described(network)
        adapter = write_adapter(tmp_path / "adapter", stored, described, base_name="q", base_fingerprint=HASH)
        again = tiny("qwen3")
        attach_adapter(again, adapter)
        assert far(logits(again), expected) < CLOSE
    assert far(fresh_logits(base, ROW.tolist(), adapter=adapter, dtype=torch.float32), expected) < CLOSE
