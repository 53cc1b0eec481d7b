"""IA3, LoHa and LoKr files go both ways between us and PEFT, with equal logits.

PEFT works on every family here but for one case: its LoHa and LoKr adapt `nn.Linear` and refuse GPT-2's `Conv1D` with a
TypeError.
"""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn

from tests.export.oracle import HASH, described_by, far, logits, ours, read_by_peft, read_by_us, stir
from tests.export.test_peft_oracle import ends, first, outline
from tests.families import FAMILIES, tiny
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.export.adapter import write_adapter
from tunesmith.methods import METHODS
from tunesmith.methods.ia3 import IA3
from tunesmith.methods.loha import LoHa
from tunesmith.methods.lokr import LoKr

pytestmark = pytest.mark.filterwarnings("ignore")
EXACT = 1e-5
FEED_FORWARD = {"gpt2": ["mlp.c_proj"], "gpt_neox": ["dense_4h_to_h"], "mixtral": [], "qwen3_moe": []}
KEYS_VALUES = {"gpt2": ["c_attn"], "gpt_neox": ["query_key_value"]}
LINEAR = [family for family in FAMILIES if family != "gpt2"]


def theirs(family: str, folder: Path, asked: peft.PeftConfig) -> tuple[nn.Module, Path]:
    """-> PEFT's network, stirred, and the folder that PEFT wrote it to."""
    network: Any = peft.get_peft_model(tiny(family), asked)
    stir(network)
    network.save_pretrained(folder)
    return network.eval(), folder


def agree(family: str, network: nn.Module, other: nn.Module) -> None:
    assert far(logits(network), logits(tiny(family))) > 1e-3, "an adapter that does nothing proves nothing"
    assert far(logits(other), logits(network)) < EXACT


def same_file(mine: Path, other: Path) -> None:
    """Names, shapes, types and header of the tensors, and every key that we write."""
    assert outline(mine) == outline(other)
    written, known = (json.loads((folder / "adapter_config.json").read_text()) for folder in (mine, other))
    keys = set(written) - {"base_model_name_or_path"}
    assert keys <= set(known), "a key that PEFT does not know"
    assert described_by(written, keys) == described_by(known, keys)


@pytest.mark.parametrize("family", FAMILIES)
def test_ia3_goes_both_ways(family: str, tmp_path: Path) -> None:
    network, mine = ours(family, tmp_path / "ours", IA3())
    agree(family, network, read_by_peft(family, mine))
    inner = FEED_FORWARD.get(family, ["down_proj"])
    targets = KEYS_VALUES.get(family, ["k_proj", "v_proj"]) + inner
    asked = peft.IA3Config(
        task_type="CAUSAL_LM", target_modules=targets, feedforward_modules=inner, fan_in_fan_out=family == "gpt2"
    )
    other, folder = theirs(family, tmp_path / "theirs", asked)
    agree(family, other, read_by_us(family, folder))
    same_file(mine, folder)


IA3_ASKED: dict[str, Any] = {
    "expressions": lambda f: {
        "target_modules": rf".*\.1\..*({'|'.join(ends(f))})", "feedforward_modules": rf".*{ends(f)[1]}",
    },
    "an end without its dot": lambda f: {
        "target_modules": rf".*({'|'.join(ends(f))})", "feedforward_modules": [ends(f)[1][1:]],
    },
    "all-linear": lambda f: {"target_modules": "all-linear", "feedforward_modules": [ends(f)[1]]},
}  # fmt: skip


@pytest.mark.parametrize("asked", IA3_ASKED)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "mixtral"])
def test_what_else_ia3_files_of_peft_say_is_understood(family: str, asked: str, tmp_path: Path) -> None:
    config = peft.IA3Config(task_type="CAUSAL_LM", **IA3_ASKED[asked](family))
    other, folder = theirs(family, tmp_path, config)
    agree(family, other, read_by_us(family, folder))


SETTINGS: dict[str, tuple[Any, Any]] = {
    "loha": (LoHa(rank=4, alpha=6), lambda **k: peft.LoHaConfig(r=4, alpha=6, **k)),
    "loha, wide": (LoHa(rank=8, alpha=8), lambda **k: peft.LoHaConfig(r=8, alpha=8, **k)),
    "lokr": (LoKr(rank=2, alpha=6), lambda **k: peft.LoKrConfig(r=2, alpha=6, **k)),
    "lokr, whole": (LoKr(rank=8, alpha=8), lambda **k: peft.LoKrConfig(r=8, alpha=8, **k)),
    "lokr, all of two": (
        LoKr(rank=1, alpha=2, decompose_both=True),
        lambda **k: peft.LoKrConfig(r=1, alpha=2, decompose_both=True, **k),
    ),
    "lokr, a factor of 4": (
        LoKr(rank=3, alpha=6, factor=4), lambda **k: peft.LoKrConfig(r=3, alpha=6, decompose_factor=4, **k),
    ),
}  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("family", LINEAR)
def test_loha_and_lokr_go_both_ways(family: str, setting: str, tmp_path: Path) -> None:
    method, config = SETTINGS[setting]
    network, mine = ours(family, tmp_path / "ours", method)
    agree(family, network, read_by_peft(family, mine))
    known = sorted({name.rpartition(".")[2] for name in _linear(family)})
    other, folder = theirs(family, tmp_path / "theirs", config(task_type="CAUSAL_LM", target_modules=known))
    agree(family, other, read_by_us(family, folder))
    same_file(mine, folder)


def _linear(family: str) -> list[str]:
    network: Any = tiny(family)
    head = network.get_output_embeddings()
    return [name for name, m in network.named_modules() if isinstance(m, nn.Linear) and m is not head]


@pytest.mark.parametrize("kind", [peft.LoHaConfig, peft.LoKrConfig])
@pytest.mark.parametrize("family", LINEAR)
def test_patterns_and_all_linear_of_peft_are_understood(family: str, kind: Any, tmp_path: Path) -> None:
    name, last = first(family), ends(family)[1]
    config = kind(
        task_type="CAUSAL_LM", target_modules="all-linear", r=3, alpha=5, rank_dropout=0.1, module_dropout=0.2,
        rank_pattern={name: 2, r".*\.1\..*": 4}, alpha_pattern={last: 7},
    )  # fmt: skip
    other, folder = theirs(family, tmp_path, config)
    agree(family, other, read_by_us(family, folder))


@pytest.mark.parametrize("family", LINEAR)
def test_ranks_and_alphas_of_ours_are_understood_by_peft(family: str, tmp_path: Path) -> None:
    for method in (LoHa, LoKr):
        name = first(family)
        network, folder = ours(family, tmp_path / method.__name__, method(ranks={name: 2}, alphas={name: 3.5}))
        agree(family, network, read_by_peft(family, folder))


@pytest.mark.parametrize("method", [LoHa(), LoKr()])
def test_peft_refuses_what_it_has_not_for_gpt2_and_we_read_it_back(method: Any, tmp_path: Path) -> None:
    network, folder = ours("gpt2", tmp_path / "a", method)
    with pytest.raises(TypeError, match="Conv1D"):
        read_by_peft("gpt2", folder)
    assert torch.equal(logits(read_by_us("gpt2", folder)), logits(network))


REFUSED: dict[str, tuple[Any, str]] = {
    "loha": (peft.LoHaConfig(target_modules=["q_proj"], modules_to_save=["lm_head"]), "modules_to_save"),
    "ia3": (
        peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[], modules_to_save=["lm_head"]),
        "modules_to_save",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_we_have_not_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    config, message = REFUSED[what]
    _, folder = theirs("llama", tmp_path, config)
    with pytest.raises(UserError, match=message) as caught:
        read_by_us("llama", folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": float("1e400")}, "Infinity is not JSON"),
        ({"r": 0}, "`r`: Input should be greater than or equal to 1"),
        ({"r": 1 << 40}, "`r`: Input should be less than or equal to 4096"),
        ({"decompose_factor": 0}, "`decompose_factor"),
        ({"rank_pattern": {"q_proj": -1}}, "`rank_pattern.q_proj`"),
        ({"surprise": 1}, "`surprise` is not a key this version knows"),
    ],
    ids=str,
)
def test_numbers_out_of_bounds_are_refused_before_anything_is_made(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _, folder = ours("llama", tmp_path / "a", LoKr())
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=message):
        read_by_us("llama", folder)


def test_ia3_without_the_list_of_its_feed_forward_layers_is_refused(tmp_path: Path) -> None:
    _, folder = ours("llama", tmp_path / "a", IA3())
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "feedforward_modules"}))
    with pytest.raises(UserError, match="`feedforward_modules` is missing"):
        read_by_us("llama", folder)


UNTRAINED = {"ia3": "every vector is one", "loha": "a factor of zeros", "lokr": "a factor of zeros"}
UNTRAINED |= {"bottleneck": "every adapter ends in zeros", "bitfit": "every change of a bias is zero"}


@pytest.mark.parametrize("kind", UNTRAINED)
def test_an_adapter_that_was_never_trained_is_not_written(kind: str, tmp_path: Path) -> None:
    network, method = tiny("llama"), METHODS[kind]()
    method.attach(network)
    with pytest.raises(RunFailed, match=UNTRAINED[kind]):
        write_adapter(
            tmp_path / "a", method.stored(network), method.described(network), base_name="x", base_fingerprint=HASH
        )
    last = list(method.stored(network).values())[-1]
    with torch.no_grad():
        for tensor in method.stored(network).values():
            if tensor.shape == last.shape or kind in ("loha", "lokr"):
                tensor.add_(0.5)
    write_adapter(
        tmp_path / "a", method.stored(network), method.described(network), base_name="x", base_fingerprint=HASH
    )


@pytest.mark.parametrize("kind", UNTRAINED)
def test_the_card_names_the_tool_that_reads_it(kind: str, tmp_path: Path) -> None:
    _, folder = ours("llama", tmp_path / "a", METHODS[kind]())
    card = (folder / "README.md").read_text()
    own = kind in ("bottleneck", "bitfit")
    assert ("library_name: tunesmith" in card) == ("tunesmith.load(" in card) == own
    assert ("library_name: peft" in card) == ("AutoPeftModel" in card) == (not own)
