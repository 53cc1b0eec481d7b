"""A LoRA drawn out of a tuned model: exact when the change has its rank, with an honest error when it has not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.export.oracle import far, logits, read_by_us, stir
from tests.families import tiny, tiny_tokenizer
from tunesmith.attached import attach_adapter
from tunesmith.combine import extract as extracting
from tunesmith.combine.extract import Size, extract
from tunesmith.combine.read import best_of_rank
from tunesmith.core.errors import UserError
from tunesmith.export.plain import write_model
from tunesmith.fresh import logits_of
from tunesmith.methods.lora import LoRA
from tunesmith.models.load import Base, Place, load_base

FolderOf = Callable[[str], Path]


@pytest.fixture
def opened(tiny_folder: FolderOf, tmp_path: Path) -> Callable[..., Base]:
    def opener(family: str, folder: Path | None = None) -> Base:
        place = Place(family, folder or tiny_folder(family))
        return load_base(place, dtype=torch.float32, cache=tmp_path / "cache", say=lambda line: None)

    return opener


def in_process(model: Path, rows: Any, *, adapter: Path, dtype: torch.dtype) -> torch.Tensor:
    """As the fresh process, without the seconds that one needs to start."""
    base = load_base(Place("again", model), dtype=dtype, cache=adapter.parent / "cache", say=lambda line: None)
    attach_adapter(base.network, adapter)
    return logits_of(base.network.eval(), rows)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "llama-tied"])
def test_a_change_of_low_rank_is_drawn_out_whole(
    family: str, opened: Callable[..., Base], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extracting, "fresh_logits", in_process)
    network, method = tiny(family), LoRA(rank=2, alpha=5)
    method.attach(network)
    stir(network)
    method.merge(network)
    wanted = logits(network)
    tuned = opened(family, write_model(tmp_path / "tuned", network, tiny_tokenizer(), dtype=torch.float32))
    found = extract(tuned, opened(family), tmp_path / "out", Size(rank=4))
    assert found.error < 1e-5 and not found.left
    assert far(logits(read_by_us(family, tmp_path / "out")), wanted) < 1e-5
    assert found.with_adapter.relative < 1e-5 < found.without.relative
    kept = json.loads((tmp_path / "out" / "tunesmith.json").read_text())["made"]
    assert kept["error"] == found.error and set(kept["layers"]) == set(found.layers)


def test_the_error_is_that_of_what_is_cut_off_and_left_out(opened: Callable[..., Base], tmp_path: Path) -> None:
    network, before = tiny("llama"), tiny("llama")
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "layers.1" in name or name == "model.norm.weight":
                parameter += 0.05 * torch.randn(parameter.shape, generator=draw)
    tuned = opened("llama", write_model(tmp_path / "tuned", network, tiny_tokenizer(), dtype=torch.float32))
    found = extract(tuned, opened("llama"), tmp_path / "out", Size(rank=8))
    assert all(name.startswith("model.layers.1.") for name in found.layers)
    assert set(found.left) == {f"model.layers.1.{n}_layernorm.weight" for n in ("input", "post_attention")} | {
        "model.norm.weight"
    }
    with_it = read_by_us("llama", tmp_path / "out")
    LoRA.model_validate({"rank": 8}).merge(with_it)
    rest = total = 0.0
    for (name, a), b, c in zip(network.named_parameters(), with_it.parameters(), before.parameters(), strict=True):
        rest, total = rest + float((a - b).square().sum()), total + float((a - c).square().sum())
        if (layer := name.removesuffix(".weight")) in found.layers:
            values = torch.linalg.svdvals((a - c).double())
            best = float(values[8:].square().sum() / values.square().sum()) ** 0.5
            assert found.layers[layer].error == pytest.approx(best, rel=1e-3)
    assert found.error == pytest.approx((rest / total) ** 0.5, rel=1e-3)
    assert found.with_adapter.nats < found.without.nats


def test_a_share_of_the_change_chooses_the_ranks() -> None:
    squares = torch.tensor([8.0, 1.0, 0.5, 0.5])
    assert [Size(share=share).of(squares) for share in (0.1, 0.8, 0.81, 0.95, 1.0)] == [1, 1, 2, 3, 4]
    assert Size(share=1.0, rank=2).of(squares) == 2
    assert Size(rank=9).of(squares) == 4


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_the_best_approximation_is_that_of_a_decomposition(shape: tuple[int, int]) -> None:
    update = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    down, up, values = best_of_rank(update, 5)
    u, s, v = torch.linalg.svd(update, full_matrices=False)
    assert far(up @ down, (u[:, :5] * s[:5]) @ v[:5]) < 1e-10
    assert far(values, s) < 1e-10
    down, up, _ = best_of_rank(up @ down, 9)
    assert down.isfinite().all() and up.isfinite().all() and far(up @ down, (u[:, :5] * s[:5]) @ v[:5]) < 1e-7


def test_what_cannot_be_drawn_from_is_refused(opened: Callable[..., Base], tmp_path: Path) -> None:
    base = opened("llama")
    for tuned, size, message in (
        (opened("llama"), Size(rank=2), "no layer differs"),
        (opened("qwen3"), Size(rank=2), "has shape"),
        (base, Size(), "give a rank, or the share"),
        (base, Size(rank=0), "rank: must be from 1"),
        (base, Size(share=1.5), "share: must be above 0"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            extract(tuned, base, tmp_path / "out", size)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
