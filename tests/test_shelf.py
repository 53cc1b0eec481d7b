"""Many adapters over one base: what each gives alone, mixed and stacked, and a base that stays as it was."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.contracts.methods import NAMES, attached
from tests.export.oracle import HASH, far, logits, read_by_us
from tests.families import FAMILIES, VOCABULARY, tiny
from tunesmith.core.errors import UserError
from tunesmith.core.layers import QUANTIZATIONS, Quantization
from tunesmith.export.adapter import write_adapter
from tunesmith.methods.lora import LoRA
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt, PTuning
from tunesmith.models.generate import Sampling, generate
from tunesmith.models.quantized import quantize
from tunesmith.proof import frozen_digest
from tunesmith.shelf import Shelf

EXACT = 1e-6
everywhere = pytest.mark.parametrize("family", FAMILIES)
MIXTURES = ("mixtral", "qwen3_moe")


def made(family: str, folder: Path, method: MethodConfig, seed: int = 1) -> Path:
    """An adapter of random values, as if it had been trained hard."""
    network = tiny(family)
    method.attach(network)
    return written(family, folder, method, network, seed)


def written(family: str, folder: Path, method: MethodConfig, network: nn.Module, seed: int) -> Path:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    stored, described = method.stored(network), method.described(network)
    return write_adapter(folder, stored, described, base_name=family, base_fingerprint=HASH)


def shelf_of(family: str, tmp_path: Path, *methods: MethodConfig) -> tuple[Shelf, list[str], list[Tensor]]:
    """-> a shelf, ids, and what each adapter says when it alone is attached."""
    shelf = Shelf(tiny(family).requires_grad_(False), HASH)
    folders = [made(family, tmp_path / str(i), method, seed=i) for i, method in enumerate(methods)]
    return shelf, [shelf.load(folder) for folder in folders], [logits(read_by_us(family, folder)) for folder in folders]


def batch(rows: int) -> dict[str, Tensor]:
    """Padded on the right, each row of another length."""
    tokens = torch.randint(VOCABULARY, (rows, 12), generator=torch.Generator().manual_seed(9))
    present = (torch.arange(12)[None] < 5 + torch.arange(rows)[:, None]).long()
    return {"input_ids": tokens, "attention_mask": present}


@torch.no_grad()
def said(network: Any, given: dict[str, Tensor]) -> Tensor:
    return network(**given, use_cache=False).logits[given["attention_mask"].bool()].float()


def tree(network: nn.Module) -> list[tuple[str, int]]:
    return [(name, id(module)) for name, module in network.named_modules()]


@everywhere
def test_switched_each_is_what_it_is_alone_and_off_is_the_base(family: str, tmp_path: Path) -> None:
    methods = (LoRA(rank=3, alpha=4), LoRA(rank=2, ranks={"*.0.*": 4}), LoRA(rank=2, rank_stabilized=True))
    shelf, ids, alone = shelf_of(family, tmp_path, *methods)
    before, digest = tree(shelf.network), frozen_digest(shelf.network)
    for i in (0, 2, 1, 0):
        shelf.use(ids[i])
        assert torch.equal(logits(shelf.network), alone[i])
    shelf.off()
    assert torch.equal(logits(shelf.network), logits(tiny(family)))
    assert tree(shelf.network) == before
    assert frozen_digest(shelf.network) == digest


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_every_method_switches_stacks_and_mixes(family: str, name: str, tmp_path: Path) -> None:
    if name in ("full", "last-layers") or (name, family) == ("dora", "mixtral"):
        pytest.skip("makes no adapter")
    shelf, (lora,), _ = shelf_of(family, tmp_path, LoRA(rank=2))
    before = tree(shelf.network)
    folder = written(family, tmp_path / name, *attached(name, family), seed=5)
    known = shelf.load(folder)
    assert tree(shelf.network) == before
    shelf.use(known)
    alone = logits(shelf.network)
    folded = name == "lokr"  # torch orders some products by whether they need a gradient
    assert far(alone, logits(read_by_us(family, folder))) <= (EXACT if folded else 0)
    assert far(alone, logits(tiny(family))) > 1e-3
    wanted: list[Any] = [known, None, lora, [lora, known], [known, lora]]
    given = batch(len(wanted))
    with shelf.rows(wanted):
        mixed = said(shelf.network, given)
    for row, one in enumerate(wanted):
        with shelf.only(*([] if one is None else one if isinstance(one, list) else [one])):
            assert far(mixed[row_of(given, row)], said(shelf.network, given)[row_of(given, row)]) < 1e-5
    shelf.off()
    assert tree(shelf.network) == before


@everywhere
def test_a_mixed_batch_gives_each_row_what_its_adapter_gives_alone(family: str, tmp_path: Path) -> None:
    """To the bit; in a mixture of experts the order of sums over tokens moves the last digit."""
    second = LoRA(rank=2) if family in MIXTURES else LoRA(rank=2, magnitude=True)
    shelf, (a, b, c), _ = shelf_of(family, tmp_path, LoRA(rank=3), second, LoRA(rank=4))
    wanted: list[Any] = [a, None, b, a, (c, 0.5), [a, (c, -1.0)]]
    given = batch(len(wanted))
    with shelf.rows(wanted):
        mixed = said(shelf.network, given)
    for row, one in enumerate(wanted):
        with shelf.only(*([] if one is None else one if isinstance(one, list) else [one])):
            alone = said(shelf.network, given)
        part = row_of(given, row)
        assert far(mixed[part], alone[part]) <= (EXACT if family in MIXTURES else 0)
    assert torch.equal(logits(shelf.network), logits(tiny(family)))


def row_of(given: dict[str, Tensor], row: int) -> slice:
    ends = given["attention_mask"].sum(1).cumsum(0).tolist()
    return slice(([0, *ends])[row], ends[row])


def test_embeddings_and_heads_are_mixed_too(tmp_path: Path) -> None:
    methods = [LoRA(rank=2, targets=targets) for targets in ("embed_tokens", "lm_head", "all-linear")]
    shelf, (a, b, c), _ = shelf_of("gemma", tmp_path, *methods)
    given = batch(4)
    with shelf.rows([a, [a, b, c], None, b]):
        mixed = said(shelf.network, given)
    for row, one in enumerate([[a], [a, b, c], [], [b]]):
        with shelf.only(*one):
            assert torch.equal(mixed[row_of(given, row)], said(shelf.network, given)[row_of(given, row)])


def answered(network: nn.Module, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    return [answer.tokens for answer in generate(network, prompts, set(), Sampling(tokens))]


def test_answers_side_by_side_are_those_of_each_adapter(tmp_path: Path) -> None:
    shelf, (a, b), _ = shelf_of("llama", tmp_path, LoRA(rank=3), LoRA(rank=3))
    prompts = [[5, 6, 7], [8, 9], [5, 6, 7, 10], [5, 6, 7]]
    wanted: list[Any] = [a, None, b, b]
    with shelf.rows(wanted):
        mixed = answered(shelf.network, prompts, 12)
    for row, one in enumerate(wanted):
        with shelf.only(*filter(None, [one])):
            assert answered(shelf.network, [prompts[row]], 12) == [mixed[row]]
    assert len({tuple(answer) for answer in mixed}) == 4


VIRTUAL: dict[str, Callable[[], MethodConfig]] = {
    "prefix": lambda: Prefix(tokens=4),
    "prompt": lambda: Prompt(tokens=4),
    "ptuning": lambda: PTuning(tokens=4),
}


@pytest.mark.parametrize("kind", VIRTUAL)
@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_virtual_tokens_switch_stack_and_mix_with_what_has_none(family: str, kind: str, tmp_path: Path) -> None:
    shelf, (a, b, c), alone = shelf_of(family, tmp_path, VIRTUAL[kind](), LoRA(rank=3), VIRTUAL[kind]())
    before = tree(shelf.network)
    wanted: list[Any] = [a, None, b, c, [b, a]]
    given = batch(len(wanted))
    with shelf.rows(wanted):
        mixed = said(shelf.network, given)
        answers = answered(shelf.network, [[5, 6, 7, 8][:n] for n in (4, 2, 3, 4, 1)], 6)
    for row, one in enumerate(wanted):
        with shelf.only(*([] if one is None else one if isinstance(one, list) else [one])):
            part = row_of(given, row)
            assert far(mixed[part], said(shelf.network, given)[part]) < 1e-5
            assert answered(shelf.network, [[5, 6, 7, 8][: (4, 2, 3, 4, 1)[row]]], 6) == [answers[row]]
    for known, own in zip((c, a), (alone[2], alone[0]), strict=True):
        shelf.use(known)
        assert torch.equal(logits(shelf.network), own)
    shelf.off()
    assert tree(shelf.network) == before
    assert torch.equal(logits(shelf.network), logits(tiny(family)))


def test_virtual_tokens_that_clash_are_refused_in_one_line(tmp_path: Path) -> None:
    methods = (Prefix(tokens=4), Prefix(tokens=6), Prompt(tokens=4))
    shelf, (four, six, prompt), _ = shelf_of("llama", tmp_path, *methods)
    for wanted, message in (
        ([four, six, None], "rows: adapters with 4 and 6 virtual tokens clash in one batch"),
        ([four, prompt], "rows: a prefix and a prompt clash in one batch"),
        ([[four, prompt]], "two with virtual tokens cannot stand over each other"),
        ([(four, 0.5)], "a strength of 0.5 is none; give 1"),
    ):
        with pytest.raises(UserError, match=message), shelf.rows(wanted):
            pass
    windowed, (four,), _ = shelf_of("mistral-window", tmp_path / "w", Prefix(tokens=4))
    with pytest.raises(UserError, match="sliding window"), windowed.rows([four, None]):
        pass
    assert torch.equal(logits(shelf.network), logits(tiny("llama")))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_stacked_is_the_sum_of_updates_as_in_peft(family: str, tmp_path: Path) -> None:
    methods = (LoRA(rank=3, alpha=4), LoRA(rank=2, alpha=6))
    shelf, ids, _ = shelf_of(family, tmp_path, *methods)
    theirs = peft.PeftModel.from_pretrained(tiny(family), tmp_path / "0", adapter_name="a")
    theirs.load_adapter(tmp_path / "1", adapter_name="b")
    theirs.base_model.set_adapter(["a", "b"])
    for order in (ids, ids[::-1]):
        shelf.use(*order)
        assert far(logits(shelf.network), logits(theirs.eval())) < 1e-5
    shelf.use(ids[0], (ids[1], 0.0))
    assert far(logits(shelf.network), logits(read_by_us(family, tmp_path / "0"))) < 1e-6


def test_a_stack_with_dora_is_the_sum_of_what_each_changes_in_a_layer(tmp_path: Path) -> None:
    methods = [LoRA(rank=2, targets=("lm_head",), magnitude=dora) for dora in (True, False, True)]
    shelf, ids, alone = shelf_of("llama", tmp_path, *methods)
    base = logits(tiny("llama"))
    shelf.use(*ids)
    assert far(logits(shelf.network) - base, sum(one - base for one in alone)) < 1e-5
    shelf.use((ids[2], -0.5), ids[1])
    assert far(logits(shelf.network) - base, alone[1] - base - 0.5 * (alone[2] - base)) < 1e-5


def test_a_shelf_inside_out(tmp_path: Path) -> None:
    """What is in use while another is loaded, removed, or used for a moment stays in use."""
    shelf, (a, b), alone = shelf_of("llama", tmp_path, LoRA(rank=3), LoRA(rank=2))
    shelf.use(a)
    c = shelf.load(made("llama", tmp_path / "c", LoRA(rank=2), seed=7))
    assert torch.equal(logits(shelf.network), alone[0])
    with shelf.only(b), shelf.only(), shelf.rows([c, b]):
        said(shelf.network, batch(2))
    assert torch.equal(logits(shelf.network), alone[0])
    shelf.remove(b)
    assert torch.equal(logits(shelf.network), alone[0])
    shelf.remove(a[:6])
    assert set(shelf.adapters) == {c}
    assert torch.equal(logits(shelf.network), logits(tiny("llama")))


def test_the_identity_is_what_it_holds_and_not_what_it_is_called(tmp_path: Path) -> None:
    shelf, (a,), _ = shelf_of("llama", tmp_path, LoRA(rank=3))
    again: Any = peft.PeftModel.from_pretrained(tiny("llama"), tmp_path / "0")
    again.save_pretrained(tmp_path / "saved by peft")
    assert shelf.load(tmp_path / "saved by peft") == a
    dropped = made("llama", tmp_path / "dropout", LoRA(rank=3, dropout=0.5), seed=0)
    assert shelf.load(dropped) == a
    assert len(shelf.adapters) == 1
    different = [(LoRA(rank=3, alpha=31), 0), (LoRA(rank=3), 4), (LoRA(rank=3, rank_stabilized=True), 0)]
    others = [made("llama", tmp_path / str(i + 5), method, seed) for i, (method, seed) in enumerate(different)]
    assert len({a, *(shelf.load(folder) for folder in others)}) == 4


def test_another_base_is_refused_or_insisted_on(tmp_path: Path) -> None:
    folder = made("llama", tmp_path / "a", LoRA(rank=2))
    shelf = Shelf(tiny("llama", seed=5), "1" * 64)
    with pytest.raises(UserError, match=r"trained on another base .* or insist"):
        shelf.load(folder)
    with pytest.warns(UserWarning, match="trained on another base"):
        known = shelf.load(folder, insist=True)
    assert len(shelf.adapters[known].notes) == 1
    for family, message in (("gpt2", "matches no layer of this base"), ("gemma", "was made for another base")):
        network = tiny(family)
        before = tree(network)
        with pytest.raises(UserError, match=f"{folder}: .*{message}") as caught:
            Shelf(network, "1" * 64).load(folder, insist=True)
        assert "\n" not in str(caught.value)
        assert tree(network) == before


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_over_a_packed_base(kind: Quantization, tmp_path: Path) -> None:
    network = tiny("llama")
    quantize(network, kind)
    shelf = Shelf(network.requires_grad_(False), HASH, kind)
    base = logits(network)
    with pytest.warns(UserWarning, match=f"over its base in its own precision, and used over one in {kind}"):
        known = shelf.load(made("llama", tmp_path / "a", LoRA(rank=2)))
    dora = made("llama", tmp_path / "b", LoRA(rank=2, magnitude=True))
    facts = json.loads((dora / "tunesmith.json").read_text())
    facts["base"]["quantize"] = kind
    (dora / "tunesmith.json").write_text(json.dumps(facts))
    with warnings.catch_warnings(action="error"):
        wanted: list[Any] = [known, None, shelf.load(dora)]
    given = batch(3)
    with shelf.rows(wanted):
        mixed = said(network, given)
    for row, one in enumerate(wanted):
        with shelf.only(*filter(None, [one])):
            assert far(mixed[row_of(given, row)], said(network, given)[row_of(given, row)]) < EXACT
    shelf.use(known)
    assert far(logits(network), base) > 1e-3
    shelf.off()
    assert torch.equal(logits(network), base)


def break_(folder: Path, how: str) -> None:
    path = folder / "adapter_model.safetensors"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif how == "foreign":
        path.write_bytes(b"PK\x03\x04 something else")
    elif how == "empty":
        save_file({}, path)
    elif how == "no bytes":
        path.write_bytes(b"")
    else:
        tensors = load_file(path)
        next(iter(tensors.values()))[0, 0] = float(how)
        save_file(tensors, path)


@pytest.mark.parametrize("how", ["truncated", "foreign", "empty", "no bytes", "nan", "inf"])
def test_a_broken_file_is_refused_in_one_line_and_changes_nothing(how: str, tmp_path: Path) -> None:
    shelf, (a,), (alone,) = shelf_of("llama", tmp_path, LoRA(rank=2))
    shelf.use(a)
    broken = made("llama", tmp_path / "broken", LoRA(rank=2), seed=8)
    break_(broken, how)
    with pytest.raises(UserError, match="broken") as caught:
        shelf.load(broken)
    assert "\n" not in str(caught.value)
    assert set(shelf.adapters) == {a}
    assert torch.equal(logits(shelf.network), alone)


def test_ids_that_cannot_be_found_and_batches_that_do_not_fit(tmp_path: Path) -> None:
    shelf, (a, b), _ = shelf_of("llama", tmp_path, LoRA(rank=2), LoRA(rank=3))
    for wanted, message in (("zz", "no adapter here has the id `zz`"), ("", "no adapter here has the id ``")):
        with pytest.raises(UserError, match=message):
            shelf.use(wanted)
    with pytest.raises(UserError, match="named twice"):
        shelf.use(a, (a[:9], 0.5))
    with shelf.rows([a, b]), pytest.raises(UserError, match="rows: the batch has 3, and adapters were given for 2"):
        said(shelf.network, batch(3))
    assert shelf.in_use == ()


def test_the_base_is_never_copied(tmp_path: Path) -> None:
    """Every weight of the base that any module holds, in use, mixed or off, is the one that was there at first."""
    shelf, ids, _ = shelf_of("llama", tmp_path, LoRA(rank=2), LoRA(rank=3, magnitude=True))
    base = {p.data_ptr() for p in shelf.network.parameters()}

    def foreign() -> int:
        layers = [layer for adapter in shelf.adapters.values() for layer in adapter.layers.values()]
        own = {t.data_ptr() for layer in layers for t in layer.parameters()}
        return sum(p.data_ptr() not in base | own for p in shelf.network.parameters())

    for wanted in (ids[:1], ids, []):
        shelf.use(*wanted)
        assert foreign() == 0
    with shelf.rows([*ids, None]):
        assert foreign() == 0


@pytest.mark.slow
def test_64_adapters_of_a_real_base_hold_their_files_and_ten_percent() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "shelf.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["adapters"] == 64 and found["base_equal"]
    assert 0.9 < found["grown_share"] <= 1.1
