"""Packed linear maps: how far they are from the weights, what they take, and that methods see no difference."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from tests.export.oracle import far, logits, stir
from tests.families import FAMILIES, VOCABULARY, tiny, tiny_tokenizer
from tests.packed import packed_tiny, twin_of_packed
from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.core.errors import UserError
from tunesmith.core.kernels import bitsandbytes
from tunesmith.core.layers import QUANTIZATIONS, Quantization, is_linear_map, is_transposed, weight_of
from tunesmith.methods.activity import base_only
from tunesmith.methods.inject import linear_maps, parameter_counts
from tunesmith.methods.lora import LoRA
from tunesmith.models.language import CausalLM
from tunesmith.models.load import Place, load_base
from tunesmith.models.quantized import LAYERS, QuantizedLinear, quantize

NORMAL_ERROR = 0.0728  # mean distance of a normal weight to its NF4 value in blocks of 64, in standard deviations
kinds = pytest.mark.parametrize("kind", QUANTIZATIONS)
everywhere = pytest.mark.parametrize("family", FAMILIES)


def linear(outer: int, inner: int, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    layer = nn.Linear(inner, outer, bias=bias)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw) * 0.02)
    return layer.requires_grad_(False)


def packed(layer: nn.Module, kind: Quantization) -> QuantizedLinear:
    bitsandbytes()
    return LAYERS[kind](layer)


def batch() -> TokenBatch:
    draw = torch.Generator().manual_seed(4)
    texts = [torch.randint(VOCABULARY, (n,), generator=draw).tolist() for n in (9, 14, 5)]
    return pack([Example(text, [True] * len(text), row) for row, text in enumerate(texts)])


def test_nf4_loses_of_normal_weights_what_it_is_known_to() -> None:
    layer = linear(512, 1024)
    unpacked = packed(layer, "nf4").dense_weight(torch.float32)
    error = (unpacked - layer.weight).abs().mean() / layer.weight.std()
    assert float(error) == pytest.approx(NORMAL_ERROR, rel=0.02)


@pytest.mark.parametrize(("outer", "inner"), [(48, 80), (24, 48), (5, 7), (6, 100), (1, 1), (64, 576)])
def test_nf4_takes_the_nearest_of_sixteen_values_of_its_block_in_any_size(outer: int, inner: int) -> None:
    """By the paper's formula. The scales may be wrong by what 8 bits leave of them."""
    layer = linear(outer, inner)
    code = bitsandbytes().functional.get_4bit_type("nf4", "cpu")
    flat = nn.functional.pad(layer.weight.reshape(-1), (0, -layer.weight.numel() % 64)).view(-1, 64)
    largest = flat.abs().amax(1, keepdim=True)
    nearest = code[(flat / largest - code[:, None, None]).abs().argmin(0)] * largest
    wanted = nearest.view(-1)[: layer.weight.numel()].view_as(layer.weight)
    unpacked = packed(layer, "nf4").dense_weight(torch.float32)
    assert unpacked.shape == layer.weight.shape
    assert far(unpacked, wanted) < 0.01


def test_nf4_gives_the_numbers_of_bitsandbytes() -> None:
    layer = linear(192, 576)
    functional = bitsandbytes().functional
    theirs = functional.quantize_4bit(layer.weight.data, blocksize=64, quant_type="nf4", compress_statistics=True)
    assert torch.equal(packed(layer, "nf4").packed.view(-1), theirs[0].view(-1))
    assert far(packed(layer, "nf4").dense_weight(torch.float32), functional.dequantize_4bit(*theirs)) < 1e-6


def test_int8_is_within_half_a_step_of_its_row_and_as_near_as_bitsandbytes() -> None:
    layer = linear(40, 1000)
    mine = packed(layer, "int8")
    least = layer.weight.abs().amax(1, keepdim=True) / 127
    step = mine.scales.float()
    assert bool((step >= least).all()) and bool((step <= 1.008 * least).all())
    assert mine.packed.abs().max() <= 127
    unpacked = mine.dense_weight(torch.float32)
    assert bool(((unpacked - layer.weight).abs() <= 0.5001 * step).all())
    assert torch.equal(mine.dense_weight(torch.bfloat16), unpacked.bfloat16()), "rounded once, whatever the type"
    theirs, largest, _ = torch.ops.bitsandbytes.int8_vectorwise_quant(layer.weight.data.clone())
    known = (theirs * largest[:, None] / 127 - layer.weight).abs().mean()
    assert float((unpacked - layer.weight).abs().mean()) < 1.02 * float(known)


@kinds
def test_zeros_stay_zeros(kind: Quantization) -> None:
    layer = linear(8, 128)
    layer.weight.data[:4] = 0
    unpacked = packed(layer, kind).dense_weight(torch.float32)
    assert unpacked.isfinite().all()
    assert far(unpacked[:4] + 1, torch.ones(4, 128)) < 1e-3
    assert unpacked[4:].any()


@everywhere
def test_storage(family: str) -> None:
    most = {"nf4": 0.53, "int8": 1 + 2 / 24}
    for kind in QUANTIZATIONS:
        network = tiny(family)
        shrunk = quantize(network, kind)
        layers = [m for m in network.modules() if isinstance(m, QuantizedLinear)]
        held = sum(buffer.numel() * buffer.element_size() for layer in layers for buffer in layer.buffers())
        weights = sum(layer.in_features * layer.out_features for layer in layers)
        assert held == shrunk.after and held <= most[kind] * weights
        assert shrunk.before == 4 * weights == 4 * shrunk.weights and len(layers) == shrunk.layers
        assert not [p for layer in layers for name, p in layer.named_parameters() if name != "bias"]


@kinds
@everywhere
def test_what_is_packed_and_what_stays(kind: Quantization, family: str) -> None:
    base, network = tiny(family), tiny(family)
    shrunk = quantize(network, kind)
    left = [name for name, layer in linear_maps(network).items() if not isinstance(layer, QuantizedLinear)]
    assert left == [name for name in linear_maps(base) if base.get_submodule(name) is base.get_output_embeddings()]
    same = dict(base.named_parameters())
    assert all(torch.equal(p, same[name]) for name, p in network.named_parameters())
    assert parameter_counts(network) == (parameter_counts(network)[0], parameter_counts(base)[1])
    stacked = sum(p.nbytes for p in base.parameters() if p.ndim == 3)
    assert shrunk.stacked == stacked
    assert ("stacked experts stay dense" in str(shrunk)) == bool(stacked)


def test_what_chooses_among_experts_stays_dense() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chooser = linear(4, 8)
            self.experts = nn.ModuleList([linear(8, 8), linear(8, 8)])

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp, self.router, self.body = Block(), linear(4, 8), linear(8, 8)

        def get_output_embeddings(self) -> None: ...

        def get_input_embeddings(self) -> None: ...

    network = Mixture()
    quantize(network, "int8")
    left = [name for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    assert left == ["mlp.chooser", "router"]
    with pytest.raises(UserError, match="no linear layer"):
        quantize(network, "int8")


@kinds
@pytest.mark.parametrize("transposed", [False, True], ids=["linear", "conv1d"])
def test_a_packed_layer_is_its_unpacked_twin_and_so_is_its_gradient(kind: Quantization, transposed: bool) -> None:
    layer = tiny("gpt2").transformer.h[0].mlp.c_fc if transposed else linear(80, 48)
    assert is_transposed(layer) == transposed
    mine = packed(layer, kind)
    assert is_linear_map(mine) and not is_linear_map(nn.ReLU())
    assert far(weight_of(mine, torch.float32), weight_of(layer, torch.float32)) < 0.2
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(3, 5, 48, generator=draw).requires_grad_()
    mine.bias.requires_grad_()
    y = mine(x)
    push = torch.randn(y.shape, generator=draw)
    found = torch.autograd.grad((y * push).sum(), (x, mine.bias))
    twin = nn.functional.linear(x, mine.dense_weight(torch.float32), mine.bias)
    wanted = torch.autograd.grad((twin * push).sum(), (x, mine.bias))
    assert far(y, twin) < 1e-5
    assert all(far(a, b) < 1e-5 for a, b in zip(found, wanted, strict=True))
    half = x.detach().bfloat16().requires_grad_()
    low = packed(layer.bfloat16(), kind)
    (low(half) * push.bfloat16()).sum().backward()
    assert low(half).dtype == torch.bfloat16 and far(half.grad.float(), wanted[0]) < 0.1


VARIANTS = [
    *((family, LoRA(rank=4)) for family in FAMILIES),
    *((family, LoRA(rank=4, magnitude=True)) for family in ("qwen2", "gpt2")),
    *((family, LoRA(rank=4, start="pissa")) for family in ("qwen2", "gpt2")),
]


@kinds
@pytest.mark.parametrize(("family", "method"), VARIANTS, ids=lambda v: v if isinstance(v, str) else "")
def test_lora_over_it_is_lora_over_its_unpacked_twin(kind: Quantization, family: str, method: LoRA) -> None:
    results = []
    for network in (packed_tiny(family, kind), twin_of_packed(family, kind)):
        torch.manual_seed(3)
        method.attach(network)
        stir(network)
        model = CausalLM(network).train()
        (-model(batch()).sum()).backward()
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        with base_only(network):
            off = logits(network)
        results.append((model.way, logits(network), off, gradients))
    (way, on, off, mine), (their_way, *wanted, theirs) = results
    assert way == their_way and set(mine) == set(theirs)
    assert far(on, wanted[0]) < 1e-5 and far(off, wanted[1]) < 1e-5 and far(on, off) > 1e-2
    assert all(far(gradient, theirs[name]) < 1e-4 for name, gradient in mine.items())


@kinds
def test_a_merge_into_it_is_refused_and_changes_nothing(kind: Quantization) -> None:
    network, method = tiny("llama"), LoRA(rank=4, targets=("lm_head", "q_proj"))
    quantize(network, kind)
    method.attach(network)
    stir(network)
    before = logits(network)
    with pytest.raises(UserError, match=r"merge: model\.layers\.0\.self_attn\.q_proj is quantized"):
        method.merge(network)
    assert torch.equal(logits(network), before)


def test_gpt2_says_that_its_files_are_transposed() -> None:
    packed_base, base, method = tiny("gpt2"), tiny("gpt2"), LoRA(rank=4)
    quantize(packed_base, "nf4")
    method.attach(packed_base)
    method.attach(base)
    assert method.described(packed_base) == method.described(base)
    assert {n: p.shape for n, p in method.stored(packed_base).items()} == {
        n: p.shape for n, p in method.stored(base).items()
    }


class Living:
    """Counts the unpacked weights whose memory is in use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[StorageWeakRef] = []
        self.most = 0
        for kind in LAYERS.values():
            monkeypatch.setattr(kind, "dense_weight", self._counted(kind.dense_weight))

    def _counted(self, unpack: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def dense_weight(layer: QuantizedLinear, dtype: torch.dtype) -> Tensor:
            weight = unpack(layer, dtype)
            self.made.append(StorageWeakRef(weight.untyped_storage()))
            self.most = max(self.most, self.now)
            return weight

        return dense_weight

    @property
    def now(self) -> int:
        return sum(not one.expired() for one in self.made)


@kinds
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "mixtral"])
@pytest.mark.parametrize(
    "method",
    [LoRA(rank=2), LoRA(rank=2, dropout=0.5, targets="*attn.*"), LoRA(rank=2, magnitude=True)],
    ids=["all", "dropout", "dora"],
)
def test_at_most_one_weight_is_whole_at_any_time_of_a_step(
    kind: Quantization, family: str, method: LoRA, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny(family)
    shrunk = quantize(network, kind)
    living = Living(monkeypatch)
    method.attach(network)
    model = CausalLM(network).train()
    living.made.clear()
    total = -model(batch()).sum()
    assert living.now == 0, "nothing is kept for the backward pass"
    total.backward()
    assert living.now == 0 and living.most == 1
    assert len(living.made) > shrunk.layers, "weights were unpacked on both ways"
    logits(network)
    assert living.now == 0 and living.most == 1


def test_a_base_is_packed_while_it_is_loaded(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    said: list[str] = []
    place = Place("x", tiny_folder("qwen2"))
    base = load_base(place, dtype=torch.float32, cache=tmp_path, say=said.append, quantize="nf4")
    again = tiny("qwen2")
    quantize(again, "nf4")
    assert torch.equal(logits(base.network), logits(again))
    assert any(line.startswith("base in nf4: 14 linear layers take 0.0 MB instead of 0.1 MB") for line in said)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
def test_nothing_keeps_the_file_in_memory_that_the_base_was_read_from(tmp_path: Path) -> None:
    tiny("llama").save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")

    def mapped(quantize: Quantization | None) -> bool:
        how = {"dtype": torch.float32, "cache": tmp_path, "say": lambda line: None, "quantize": quantize}
        base = load_base(Place("x", tmp_path / "base"), **how)
        return str(tmp_path) in Path("/proc/self/maps").read_text() and base is not None

    assert mapped(None), "a dense base lies in its file"
    assert not mapped("nf4")


def test_the_library_is_loaded_without_a_look_at_a_hub_and_without_a_compiler(tmp_path: Path) -> None:
    """In another process, with a package `kernels` that tells when it is asked."""
    (tmp_path / "kernels.py").write_text("raise SystemExit('asked')")
    program = (
        "import sys, torch; from tunesmith.core.kernels import bitsandbytes; compile = torch.compile; bitsandbytes();"
        "print('torch._inductor.compile_fx' in sys.modules, 'kernels' in sys.modules, torch.compile is compile)"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment: Any = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["False", "False", "True"], "")
