"""LoRA: the product against its plain twin, scales, targets and what cannot be merged."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tests.export.oracle import far, logits, stir
from tests.families import tiny
from tests.methods.packed_layer import Packed
from tunesmith.core.errors import UserError
from tunesmith.methods.lora import LoRA, LoRALayer
from tunesmith.methods.stored import load_stored


def layer(base: nn.Module, scale: float = 0.7) -> LoRALayer:
    made = LoRALayer(base.requires_grad_(False), 3, 6.0, scale=scale, dropout=0.0).double()
    nn.init.normal_(made.up)
    return made


def plain(made: LoRALayer, x: Tensor) -> Tensor:
    return made.base(x) + made.scale * F.linear(F.linear(x, made.down), made.up)


@pytest.mark.parametrize("base", [nn.Linear(5, 4), nn.Linear(5, 4, bias=False), Conv1D(4, 5)], ids=str)
def test_the_product_and_its_gradients_equal_the_plain_twin(base: nn.Module) -> None:
    made = layer(base)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    weights = [x, made.down, made.up]
    assert torch.allclose(made(x), plain(made, x), atol=1e-12)
    slope = torch.randn(2, 3, 4, dtype=torch.float64)
    fast, slow = (torch.autograd.grad(f(x), weights, slope) for f in (made, lambda x: plain(made, x)))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(fast, slow, strict=True))
    assert torch.autograd.gradcheck(made, (x,))


def test_dropout_acts_in_training_on_the_update_alone() -> None:
    made = layer(nn.Linear(50, 40))
    made.dropout = 0.5
    x = torch.randn(8, 50, dtype=torch.float64)
    assert torch.equal(made.eval()(x), made(x))
    base_part = made.base(x)
    drawn = torch.stack([made.train()(x) for _ in range(400)])
    assert not torch.equal(drawn[0], drawn[1])
    assert far((drawn.mean(0) - base_part), made.eval()(x) - base_part) < 0.2, "the mean is kept"
    made.up.data.zero_()
    assert torch.equal(made.train()(x), base_part)


@pytest.mark.parametrize("stable", [False, True])
def test_the_scale_is_alpha_over_the_rank_or_its_root(stable: bool) -> None:
    network = tiny("llama")
    LoRA(rank=4, alpha=6, ranks={"layers.0.mlp.*": 9}, alphas={"v_proj": 1.5}, rank_stabilized=stable).attach(network)
    root = math.sqrt if stable else float
    first, second = network.model.layers
    assert first.self_attn.q_proj.scale == 6 / root(4)
    assert first.mlp.up_proj.scale == 6 / root(9)
    assert second.self_attn.v_proj.scale == 1.5 / root(4)
    assert second.mlp.up_proj.down.shape == (4, 48)


def test_all_linear_leaves_the_head_and_the_embedding_alone() -> None:
    for family in ("llama", "llama-tied", "gpt2", "gpt_neox"):
        network = tiny(family)
        LoRA(rank=2).attach(network)
        assert not isinstance(network.get_output_embeddings(), LoRALayer)
        left = [m for n, m in network.named_modules() if type(m) in (nn.Linear, Conv1D) and not n.endswith(".base")]
        assert left == [network.get_output_embeddings()]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (LoRA(targets=("norm",)), "matches model.norm, which is a LlamaRMSNorm and no layer that can be adapted"),
        (LoRA(targets=("q_proj", "qproj")), "`qproj` matches no layer; did you mean `q_proj`"),
        (LoRA(targets=("q_proj",), ranks={"v_proj": 2}), r"method\.ranks: `v_proj` matches none of the targets"),
        (LoRA(targets=("q_proj",), alphas={"*.9.*": 2.0}), r"method\.alphas: `\*\.9\.\*` matches none of the targets"),
        (LoRA(rank=49), "49 is larger than the layer"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(method: LoRA, message: str) -> None:
    network = tiny("llama")
    before = logits(network)
    with pytest.raises(UserError, match=message):
        method.attach(network)
    assert not any(isinstance(module, LoRALayer) for module in network.modules())
    assert torch.equal(logits(network), before)


def test_over_a_quantized_layer_it_trains_but_does_not_merge() -> None:
    network = tiny("llama")
    down = network.model.layers[1].mlp.down_proj
    network.model.layers[1].mlp.down_proj = Packed(down)
    before = logits(network)
    method = LoRA(rank=4)
    method.attach(network)
    assert torch.equal(logits(network), before)
    network(input_ids=torch.arange(9)[None]).logits.square().sum().backward()
    assert network.model.layers[1].mlp.down_proj.up.grad.any()
    stir(network)
    attached = logits(network)
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.down_proj is quantized \(Packed\)"):
        method.merge(network)
    assert torch.equal(logits(network), attached), "all or nothing"
    assert isinstance(network.model.layers[0].mlp.down_proj, LoRALayer)


def test_a_merge_into_bfloat16_rounds_once() -> None:
    base = nn.Linear(32, 32, bias=False).to(torch.bfloat16)
    made = LoRALayer(base.requires_grad_(False), 4, 8.0, scale=2.0, dropout=0.0)
    nn.init.normal_(made.up, std=0.01)
    exact = base.weight.double() + 2.0 * made.up.double() @ made.down.double()
    assert torch.equal(made.merged().weight, exact.float().to(torch.bfloat16))


def test_the_embedding_of_a_tied_head_is_left_alone_by_a_merge_of_the_head() -> None:
    network = tiny("llama-tied")
    embedding = network.get_input_embeddings().weight
    before = embedding.clone()
    method = LoRA(rank=4, targets=("lm_head",))
    method.attach(network)
    stir(network)
    method.merge(network)
    assert torch.equal(embedding, before)
    assert network.lm_head.weight is not embedding
    assert network.config.tie_word_embeddings is False


def test_other_layers_leave_a_tied_head_tied() -> None:
    network = tiny("llama-tied")
    method = LoRA(rank=4)
    method.attach(network)
    stir(network)
    method.merge(network)
    assert network.lm_head.weight is network.get_input_embeddings().weight
    assert network.config.tie_word_embeddings is True


@pytest.mark.parametrize("kind", ["missing", "extra", "shape"])
def test_stored_tensors_that_do_not_fit_are_refused_and_nothing_is_loaded(kind: str) -> None:
    network, method = tiny("llama"), LoRA(rank=2, targets=("q_proj",))
    method.attach(network)
    tensors = {name: torch.ones_like(t) for name, t in method.stored(network).items()}
    last = list(tensors)[-1]
    if kind == "missing":
        del tensors[last]
    elif kind == "extra":
        tensors["model.layers.7.x.lora_A.weight"] = torch.ones(2, 2)
    else:
        tensors[last] = torch.ones(1, 1)
    with pytest.raises(UserError, match=r"layers\.7\.x" if kind == "extra" else last):
        load_stored(method, network, tensors)
    assert not any(t.any() for name, t in method.stored(network).items() if "lora_B" in name)
