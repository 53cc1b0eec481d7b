"""Each way to combine gives what PEFT's `add_weighted_adapter` gives, and what does not go together is refused."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora.model import LoraModel
from peft.utils import merge_utils

from tests.export.oracle import far, logits, read_by_peft, read_by_us, theirs
from tests.families import tiny
from tests.test_shelf import made
from tunesmith.combine import HOW, Way, combine, read
from tunesmith.combine.way import THIN, seed_of
from tunesmith.core.errors import UserError
from tunesmith.export.adapter import FACTS, base_quantize
from tunesmith.methods.lora import LoRA
from tunesmith.methods.prefix import Prefix

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT warns about full densities and unknown bases
WEIGHTS = (0.7, -1.2, 0.4)
ATTENTION = {"gpt2": ("c_attn",), "llama": ("q_proj", "o_proj"), "qwen3_moe": ("q_proj", "o_proj")}


def three(family: str, tmp_path: Path, ranks: tuple[int, int, int] = (3, 3, 3)) -> list[Path]:
    """Adapters with other strengths and, the last, other layers: the outputs of the feed-forward parts as well."""
    methods = [
        LoRA(rank=ranks[0], alpha=4, targets=ATTENTION[family]),
        LoRA(rank=ranks[1], alpha=9, targets=ATTENTION[family]),
        LoRA(rank=ranks[2], alpha=3, targets=(*ATTENTION[family], "c_fc" if family == "gpt2" else "k_proj")),
    ]
    return [made(family, tmp_path / str(i), method, seed=i) for i, method in enumerate(methods)]


def peft_combined(family: str, folders: list[Path], how: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    network = peft.PeftModel.from_pretrained(tiny(family), folders[0], adapter_name="0")
    for i, folder in enumerate(folders[1:], start=1):
        network.load_adapter(folder, adapter_name=str(i))
    names = {id(module): name for name, module in network.base_model.model.named_modules()}
    for own in ("_generalized_task_arithmetic_weighted_adapter", "_svd_generalized_task_arithmetic_weighted_adapter"):
        right = getattr(LoraModel, own)

        def seeded(self: Any, *given: Any, right: Any = right, **named: Any) -> Any:
            target = next(part for part in given if isinstance(part, torch.nn.Module))
            torch.manual_seed(seed_of(names[id(target)], 5))
            return right(self, *given, **named)

        monkeypatch.setattr(LoraModel, own, seeded)
    if family == "gpt2" and how.endswith("svd"):  # its whole updates lie transposed there; the draws must not
        drop = merge_utils.random_pruning
        monkeypatch.setattr(merge_utils, "random_pruning", lambda t, *how, **so: drop(t.T.contiguous(), *how, **so).T)
    ids = [str(i) for i in range(len(folders))]
    network.add_weighted_adapter(ids, list(WEIGHTS), "joined", combination_type=how, **more)
    network.set_adapter("joined")
    return network.eval()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3_moe"])
def test_every_way_gives_what_peft_gives(
    family: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = three(family, tmp_path, (2, 3, 4) if how == "cat" or how.endswith("svd") else (3, 3, 3))
    density = 0.4 if how.startswith(THIN) else None
    rank = 5 if how.endswith("svd") else None
    combined = combine(folders, tmp_path / "joined", Way(how, WEIGHTS, density, rank, seed=5))
    oracle = logits(peft_combined(family, folders, how, monkeypatch, density=density, svd_rank=rank))
    assert far(logits(read_by_us(family, tmp_path / "joined")), oracle) < 1e-5
    assert far(logits(read_by_peft(family, tmp_path / "joined")), oracle) < 1e-5
    assert far(oracle, logits(tiny(family))) > 1e-2
    assert (combined.lost is not None) == how.endswith("svd")


@pytest.mark.parametrize("how", ["cat", "svd"])
def test_exact_ways_are_the_sum_of_the_updates_however_they_are_scaled(how: str, tmp_path: Path) -> None:
    methods = (
        LoRA(rank=2, alpha=3, rank_stabilized=True),
        LoRA(rank=3, ranks={"*.0.*": 4, "v_proj": 1}, alphas={"up_proj": 7}),
        LoRA(rank=1, targets=("embed_tokens", "q_proj")),
    )
    folders = [made("llama", tmp_path / str(i), method, seed=i) for i, method in enumerate(methods)]
    combined = combine(folders, tmp_path / "joined", Way(how, WEIGHTS, rank=8 if how == "svd" else None))
    parts = [read(folder) for folder in folders]
    assert set(combined.parts.factors) == {layer for part in parts for layer in part.factors}
    for layer, factors in combined.parts.factors.items():
        wanted = sum(w * p.factors[layer].whole for w, p in zip(WEIGHTS, parts, strict=True) if layer in p.factors)
        assert far(factors.whole, wanted) < 1e-5
    assert combined.lost is None or combined.lost < 1e-6
    made_of = json.loads((tmp_path / "joined" / "tunesmith.json").read_text())["made"]
    assert [one["id"] for one in made_of["combined"]] == [part.id for part in parts]


def test_what_is_cut_off_is_told(tmp_path: Path) -> None:
    (folder,) = three("llama", tmp_path, (4, 4, 4))[:1]
    combined = combine([folder], tmp_path / "small", Way("svd", (1.0,), rank=2))
    before, after = read(folder).factors, combined.parts.factors
    assert combined.parts.ranks == [2]
    lost = sum(float((before[k].whole - after[k].whole).square().sum()) for k in before)
    total = sum(float(one.whole.square().sum()) for one in before.values())
    assert combined.lost == pytest.approx((lost / total) ** 0.5, rel=1e-4)
    assert combined.lost > 0.1


def test_what_is_dropped_depends_on_the_seed_alone(tmp_path: Path) -> None:
    folders = three("llama", tmp_path)
    ids = [
        combine(folders, tmp_path / f"joined{i}", Way("dare_ties", WEIGHTS, 0.5, seed=seed)).parts.id
        for i, seed in enumerate((1, 1, 2))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_adapters_of_unknown_bases_combine_and_the_result_knows_none_either(tmp_path: Path) -> None:
    folders = [theirs("llama", tmp_path / str(i), r=2, target_modules=["q_proj"])[1] for i in range(2)]
    assert combine(folders, tmp_path / "joined", Way("cat", (1.0, 1.0))).parts.fingerprint is None
    known = made("llama", tmp_path / "known", LoRA(rank=2))
    assert combine([*folders, known], tmp_path / "more", Way("cat", (1.0,) * 3)).parts.fingerprint == "0" * 64


def test_the_result_lies_over_the_base_as_all_of_them_did_or_over_the_dense_one(tmp_path: Path) -> None:
    folders = three("llama", tmp_path)

    def packed(kinds: tuple[str | None, ...], name: str) -> str | None:
        for folder, kind in zip(folders, kinds, strict=True):
            facts = json.loads((folder / FACTS).read_text())
            facts["base"]["quantize"] = kind
            (folder / FACTS).write_text(json.dumps(facts))
        combine(folders, tmp_path / name, Way("cat", WEIGHTS))
        return base_quantize(tmp_path / name)

    assert packed(("nf4", "nf4", "nf4"), "same") == "nf4"
    assert packed(("nf4", None, "nf4"), "mixed") is None


def test_what_does_not_go_together_is_refused_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    lora = made("llama", tmp_path / "lora", LoRA(rank=2))
    other = made("llama", tmp_path / "other", LoRA(rank=2), seed=4)
    facts = json.loads((other / "tunesmith.json").read_text())
    (other / "tunesmith.json").write_text(json.dumps(facts | {"base": {"name": "x", "fingerprint": "1" * 64}}))
    prefix = made("llama", tmp_path / "prefix", Prefix(tokens=2))
    cases: list[tuple[list[Path], dict[str, Any], str]] = [
        ([lora, prefix], {}, "is prefix_tuning, .* is lora; kinds do not combine"),
        ([prefix, prefix], {}, "is prefix_tuning; only lora can be combined"),
        ([lora, other], {}, "trained on another base than"),
        ([lora, made("gemma", tmp_path / "g", LoRA(rank=2))], {}, "different shapes; .* different bases"),
        (
            [lora, made("llama", tmp_path / "r", LoRA(rank=3))],
            {"how": "linear"},
            "ranks 2 and 3, and linear needs equal",
        ),
        ([lora, made("llama", tmp_path / "d", LoRA(rank=2, magnitude=True))], {}, "is DoRA"),
        ([made("mixtral", tmp_path / "m", LoRA(rank=2))], {"weights": (1.0,)}, "experts of a mixture"),
        ([lora, lora], {"how": "tise"}, "`tise` is not known; did you mean `ties`"),
        ([lora, lora], {"how": "ties"}, "density: ties needs the share"),
        ([lora, lora], {"density": 0.5}, "density: svd leaves nothing out"),
        ([lora, lora], {"how": "ties", "density": 1.5}, "density: must be above 0 and at most 1, not 1.5"),
        ([lora, lora], {"how": "cat", "rank": 3}, "rank: cat keeps the rank"),
        ([lora, lora], {"rank": 0}, "rank: must be from 1"),
        ([lora, lora], {"weights": (1.0,)}, "weights: 1 of them for 2 adapters"),
        ([lora, tmp_path / "nowhere"], {}, "nowhere.*missing"),
    ]
    for folders, said, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            combine(folders, tmp_path / "out", Way(**{"how": "svd", "weights": (1.0, 1.0), **said}))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="exists already"):
        combine([lora, lora], lora, Way("cat", (1.0, 1.0)))
