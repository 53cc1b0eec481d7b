"""LoRA over stacked weights: the sum against PEFT's, its gradients, which experts it costs, and what is refused."""

import json
import weakref
from pathlib import Path

import peft
import pytest
import torch
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn

from tests.export.oracle import ROW, far, logits, ours, read_by_us, stir, theirs
from tests.families import tiny
from tunesmith.core.errors import UserError
from tunesmith.methods.experts import StackLayer, StackUpdate, stacks
from tunesmith.methods.lora import LoRA, LoRALayer

MIXTURES = pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])


class Stack(nn.Module):
    """Three matrices in one parameter, and the code that uses them all."""

    def __init__(self, transposed: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5, 7, dtype=torch.float64), requires_grad=False)
        self.is_transposed = transposed

    def forward(self, x: Tensor) -> Tensor:
        return (x @ (self.weight if self.is_transposed else self.weight.mT)).sum(0)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_update_of_each_expert_is_pefts(transposed: bool) -> None:
    base = Stack(transposed)
    layer = StackLayer(base, {"weight": StackUpdate(base.weight, 2, 8, scale=4.0, transposed=transposed)}).double()
    stir(layer)
    update = layer.by_name()["weight"]
    config = peft.LoraConfig(r=2, lora_alpha=8)
    wrapper = ParamWrapper(Stack(transposed), "default", "weight", config=config, r=2, lora_alpha=8)
    wrapper.get_base_layer().weight.data.copy_(base.weight)
    for own, other in ((update.down, wrapper.lora_A), (update.up, wrapper.lora_B)):
        assert own.shape == other["default"].weight.shape
        other["default"].weight.data = own.data
    x = torch.randn(4, 5 if transposed else 7, dtype=torch.float64)
    assert torch.allclose(layer(x), wrapper(x), atol=1e-12)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))
    before = layer(x)
    assert not torch.allclose(before, base(x))
    assert torch.allclose(layer.merged()(x), before, atol=1e-12)


def test_the_sum_is_rounded_once_whatever_the_base_is() -> None:
    weight = torch.randn(4, 8, 6).to(torch.bfloat16)
    update = StackUpdate(weight, 2, 2.0, scale=0.5)
    nn.init.normal_(update.up, std=0.01)
    a, b = update.down.double().view(4, 2, 6), update.up.double().view(8, 2, 4).permute(2, 0, 1)
    exact = weight.double() + 0.5 * b @ a
    assert torch.equal(update.added_to(weight), exact.float().to(torch.bfloat16))


@MIXTURES
@pytest.mark.parametrize("code", ["grouped_mm", "batched_mm", "eager"])
def test_without_gradients_only_the_experts_of_the_tokens_are_summed(family: str, code: str) -> None:
    network = tiny(family)
    network.set_experts_implementation(code)
    LoRA(rank=4).attach(network)
    stir(network)
    seen: list[list[int]] = []
    for module in network.modules():
        if isinstance(module, StackUpdate) and module.experts > 1:
            full = module.added_to

            def recorded(weight: Tensor, used: Tensor | None = None, strength: float = 1.0, full=full) -> Tensor:  # type: ignore[no-untyped-def]
                seen.append([] if used is None else used.tolist())
                return full(weight, used, strength)

            module.added_to = recorded  # type: ignore[method-assign]
    token = torch.tensor([[7]])
    torch.use_deterministic_algorithms(True)  # memory that is not written then holds not-a-number
    try:
        with torch.no_grad():
            short = network(input_ids=token).logits
    finally:
        torch.use_deterministic_algorithms(False)
    assert {len(used) for used in seen} == {2}
    seen.clear()
    assert far(short, network(input_ids=token).logits.detach()) < 1e-6
    assert seen == [[]] * 4


@MIXTURES
@pytest.mark.parametrize("code", ["grouped_mm", "eager"])
def test_no_second_copy_of_the_experts_waits_for_the_backward_pass(family: str, code: str) -> None:
    network = tiny(family)
    network.set_experts_implementation(code)
    LoRA(rank=4).attach(network)
    stir(network)
    made: list[weakref.ref[Tensor]] = []
    full = StackUpdate.added_to

    def noted(self: StackUpdate, weight: Tensor, used: Tensor | None = None, strength: float = 1.0) -> Tensor:
        changed = full(self, weight, used, strength)
        made.append(weakref.ref(changed.untyped_storage()))
        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackUpdate, "added_to", noted)
        loss = network(input_ids=ROW).logits.square().mean()
        assert len(made) == 6
        assert not [ref for ref in made if ref() is not None]
        loss.backward()
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackLayer, "_summed_again", lambda *_: (lambda saved: saved, lambda kept: kept))
        network(input_ids=ROW).logits.square().mean().backward()
    kept = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], kept[name]) for name in kept)


def test_what_counts_as_stacked() -> None:
    names = ["experts.gate_up_proj", "experts.down_proj", "gate.weight"]
    assert sorted(stacks(tiny("mixtral"))) == sorted(f"model.layers.{i}.mlp.{n}" for i in range(2) for n in names)
    assert not stacks(tiny("llama-tied"))
    assert not stacks(tiny("gpt2"))
    parts = nn.ModuleDict({"conv": nn.Conv1d(4, 4, 3), "table": nn.Embedding(3, 4), "stack": Stack(False)})
    assert list(stacks(nn.ModuleDict({"mlp": parts}))) == ["mlp.stack.weight"]


def targets(method: LoRA, family: str = "mixtral") -> set[str]:
    network = tiny(family)
    method.attach(network)
    return {name.replace(".base_layer", "*") for name in method.stored(network) if "layers.0" in name and "_A" in name}


def test_patterns_mean_the_parameter_or_its_module() -> None:
    below = "model.layers.0.mlp."
    assert targets(LoRA(rank=2, targets=("experts.down_proj",))) == {f"{below}experts.lora_A.weight"}
    both = {f"{below}experts.lora_A.weight", f"{below}experts*.lora_A.weight"}
    assert targets(LoRA(rank=2, targets=("experts",))) == both
    assert targets(LoRA(rank=2, targets=("mlp.*",))) == {*both, f"{below}gate.lora_A.weight"}
    assert targets(LoRA(rank=2, targets="gate")) == {f"{below}gate.lora_A.weight"}


def test_both_halves_of_a_fused_weight_have_the_rank_unless_it_is_given() -> None:
    def of(method: LoRA) -> tuple[int, float, float]:
        network = tiny("mixtral")
        method.attach(network)
        update = network.model.layers[0].mlp.experts.by_name()["gate_up_proj"]
        return update.rank, update.alpha, update.scale

    assert of(LoRA(rank=4, alpha=6)) == (8, 12, 1.5)
    assert of(LoRA(rank=4, alpha=6, targets=("experts",))) == (4, 6, 1.5)
    assert of(LoRA(rank=4, alpha=6, ranks={"gate_up_proj": 3})) == (3, 6, 2)
    assert of(LoRA(rank=4, alpha=6, alphas={"gate_up_proj": 2})) == (4, 2, 0.5)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (LoRA(dropout=0.1), r"method\.dropout: must be 0 over the experts .*mlp\.gate"),
        (LoRA(rank=81), "81 is larger than each expert of model.layers.0.mlp.experts.down_proj"),
        (LoRA(targets=("expert",)), "`expert` matches no layer.*, gate, gate_up_proj, down_proj"),
        (LoRA(targets=("experts.down",)), "`experts.down` matches no layer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(method: LoRA, message: str) -> None:
    network = tiny("mixtral")
    before = logits(network)
    with pytest.raises(UserError, match=message):
        method.attach(network)
    assert not any(isinstance(module, LoRALayer | StackLayer) for module in network.modules())
    assert torch.equal(logits(network), before)


def test_dropout_over_the_linear_layers_alone_is_allowed() -> None:
    assert targets(LoRA(rank=2, dropout=0.1, targets=("q_proj",))) == {"model.layers.0.self_attn.q_proj.lora_A.weight"}


@pytest.mark.parametrize("wanted", ["embed_tokens.weight", "norm.weight", "experts.down"])
def test_parameters_that_are_not_stacked_are_refused(wanted: str, tmp_path: Path) -> None:
    _, folder = ours("mixtral", tmp_path / "adapter", LoRA(rank=2, targets=("experts",)))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target_parameters": [wanted]}))
    with pytest.raises(UserError, match="`target_parameters`") as caught:
        read_by_us("mixtral", folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rank", [64, 100])
def test_a_file_whose_ranks_do_not_fit_is_refused(rank: int, tmp_path: Path) -> None:
    _, folder = ours("mixtral", tmp_path / "adapter", LoRA(rank=3, targets=("experts",)))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "r": rank}))
    with pytest.raises(UserError, match=f"has rank 12, but `r` is {rank}"):
        read_by_us("mixtral", folder)


def test_linear_layers_that_peft_takes_for_old_experts_are_named_as_parameters(tmp_path: Path) -> None:
    network = tiny("qwen3_moe")
    network.model.layers[0].mlp = tiny("qwen3").model.layers[0].mlp  # a dense layer between the mixtures
    method = LoRA(rank=2)
    method.attach(network)
    described = method.described(network)
    assert described["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert {"gate_proj.weight", "up_proj.weight", "down_proj.weight"} <= set(described["target_parameters"])
    again = tiny("qwen3_moe")
    again.model.layers[0].mlp = tiny("qwen3").model.layers[0].mlp
    LoRA.from_peft(described, again).attach(again)
    assert isinstance(again.model.layers[0].mlp.gate_proj, LoRALayer)


@pytest.mark.filterwarnings("ignore")
def test_a_linear_layer_may_be_named_by_its_weight(tmp_path: Path) -> None:
    asked = ["q_proj.weight", "layers.1.mlp.down_proj.weight"]
    network, folder = theirs("llama", tmp_path, r=3, target_parameters=asked, target_modules=[])
    assert far(logits(read_by_us("llama", folder)), logits(network)) < 1e-5
