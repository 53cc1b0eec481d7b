"""LoRA: learn a low-rank update to a frozen layer (https://arxiv.org/abs/2106.09685), and its relatives as settings.

y = W x + s B A x        W frozen, A random, B zero at the start
s = alpha / rank, or alpha / sqrt(rank) when rank-stabilised (https://arxiv.org/abs/2312.03732)

The layers are in `lora_layers`, where their factors begin in `lora_start`, PEFT's words for them in `lora_file`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.layers import is_dense, sizes
from tunesmith.methods import lora_file
from tunesmith.methods.experts import StackLayer, StackUpdate, is_transposed_stack, stored_names, wrap_stacks
from tunesmith.methods.inject import (
    ALL_LINEAR,
    Targets,
    by_pattern,
    find_targets,
    matches,
    refuse_unmatched,
    wrap,
    wrapped,
)
from tunesmith.methods.lora_layers import (
    CONVOLUTIONS,
    DoRAConv,
    DoRALayer,
    LoRAConv,
    LoRAEmbedding,
    LoRALayer,
    ShiftedLoRALayer,
    Update,
)
from tunesmith.methods.lora_start import begin_with_inputs, begin_with_weight
from tunesmith.methods.method import Given, MethodConfig
from tunesmith.methods.rank import Rank, settled
from tunesmith.methods.tied import untie

TWO_IN_ONE = ".gate_up_proj"  # two linear maps in one: they share A, so it gets the rank of both, as in PEFT


class LoRA(MethodConfig):
    """Low-rank adaptation of linear layers, embeddings and convolutions."""

    kind: Literal["lora"] = "lora"
    rank: Rank = 16
    """Width of the update. 16 is enough for small data; quality depends little on it once the rate fits. auto: the
    smallest of a few that gains as much as the best in a few steps; what was tried is in the report."""
    alpha: float = Field(32.0, gt=0)
    """Strength: the update is multiplied by alpha / rank. Twice the rank is the usual choice."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of inputs of the update that are dropped in training."""
    targets: Targets = "all-linear"
    """Layers by the end of their name or by a pattern, or `all-linear`: every linear layer but the output head, the
    stacked experts of a mixture and their routers included; both halves of `gate_up_proj` then have the rank.
    Attention and feed-forward together learn more and forget less than attention alone at equal size.
    Embeddings and convolutions are adapted when a pattern names them."""
    rank_stabilized: bool = False
    """Divide alpha by the square root of the rank: for ranks of 64 and more."""
    magnitude: bool = False
    """DoRA: train the length of each row of a weight apart from its direction. Dearer; may help at low ranks. In a
    mixture the linear layers alone are adapted, as in PEFT, and not the stacked experts."""
    up_rate: float = Field(1.0, gt=0, le=1000)
    """LoRA+: how many times the learning rate B gets. 16 is what its authors use (https://arxiv.org/abs/2402.12354)."""
    start: Literal["zero", "pissa", "eva"] = "zero"
    """Where the factors begin. zero: A random and B zero. pissa: the largest singular directions of the weight (the
    file is plain LoRA of twice the rank). eva: A follows the inputs of some training rows."""
    ranks: dict[str, int] = Field(default_factory=dict)
    """Other ranks for layers that match a pattern, for example {"down_proj": 32}."""
    alphas: dict[str, float] = Field(default_factory=dict)
    """Other strengths for layers that match a pattern."""

    @property
    def learning_rate(self) -> float:
        return 1e-4 if self.start == "pissa" or self.up_rate > 1 else 2e-4

    @property
    def reason(self) -> str:
        if self.start == "pissa":
            return "factors that begin large want a lower rate than LoRA's 2e-4 (arXiv 2602.04998)"
        if self.up_rate > 1:
            return "half of LoRA's usual rate, for B gets a multiple of it"
        return "about ten times the rate of full fine-tuning suits LoRA at any rank (LoRA Without Regret, 2025)"

    @model_validator(mode="after")
    def _one_variant(self) -> "LoRA":
        if self.magnitude and self.start == "pissa":
            raise ValueError("magnitude and start=pissa change the same weight in two ways; choose one of them")
        return self

    @property
    def needs_data(self) -> bool:
        return self.start == "eva"

    def prepare(self, network: nn.Module, given: Given) -> None:
        if self.start == "eva":
            begin_with_inputs(network, given.feed)

    def attach(self, network: nn.Module) -> None:
        """Replace each target by a layer that adds a trainable update to it. Raises UserError without a target."""
        found = self._found(network)
        refuse_unmatched(self.ranks, found, "method.ranks")
        refuse_unmatched(self.alphas, found, "method.alphas")
        stacked = {n: self._stack_update(network, n, p) for n, p in found.items() if isinstance(p, nn.Parameter)}
        wrap(network, {name: m for name, m in found.items() if isinstance(m, nn.Module)}, self._layer)
        wrap_stacks(network, stacked)

    def _found(self, network: nn.Module) -> dict[str, nn.Module | nn.Parameter]:
        found = find_targets(network, self.targets)
        stacked = [name for name, target in found.items() if isinstance(target, nn.Parameter)]
        if self.magnitude and stacked and self.targets != ALL_LINEAR:
            raise UserError(f"method.magnitude: not over stacked experts or routers ({stacked[0]}); name linear layers")
        return {name: target for name, target in found.items() if not (self.magnitude and name in stacked)}

    def detach(self, network: nn.Module) -> None:
        """Take every update out again: the tree is as it was before `attach`."""
        for name, base in lora_file.bases(network).items():
            network.set_submodule(name, base)

    def merge(self, network: nn.Module) -> None:
        """Add every update to its base weight and take the layers out: all of them, or an error and no change.

        A head that shares its weight with the embedding gets one of its own, for the update belongs to one of them.
        Raises UserError over a quantized layer: the sum would be rounded to the few values that it can hold.
        """
        layers = dict(wrapped(network, Update))
        for name, layer in layers.items():
            refuse_quantized(name, layer.base)
        for name, layer in layers.items():
            untie(network, layer.base)
            network.set_submodule(name, layer.merged())
        for name, stack in wrapped(network, StackLayer):
            network.set_submodule(name, stack.merged())

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        """-> what a file must hold, by PEFT's names below `base_model.model.`."""
        layers: dict[str, Update | StackUpdate] = dict(wrapped(network, Update))
        for name, stack in wrapped(network, StackLayer):
            layers |= stored_names(name, stack)
        return {f"{name}.{end}": tensor for name, layer in layers.items() for end, tensor in layer.tensors().items()}

    def described(self, network: nn.Module) -> dict[str, Any]:
        """-> the keys of PEFT's `adapter_config.json` that belong to this method."""
        same = {"lora_dropout": self.dropout, "use_rslora": self.rank_stabilized, "use_dora": self.magnitude}
        return lora_file.described(network, settled(self.rank), self.alpha, same)

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "LoRA":
        """The method that PEFT's `adapter_config.json` describes, its names and patterns resolved in `network`.

        Raises UserError for what LoRA has not here and for targets that the network has not.
        """
        return cls(**lora_file.settings(described, network))

    def rates(self, network: nn.Module) -> dict[str, float]:
        if self.up_rate == 1:
            return {}
        return {name: self.up_rate for name, _ in network.named_parameters() if name.endswith(".up")}

    def _layer(self, name: str, base: nn.Module) -> Update:
        rank = by_pattern(name, self.ranks, settled(self.rank))
        alpha = by_pattern(name, self.alphas, self.alpha)
        kind = self._kind(base)
        if rank > (most := _largest(base)):
            raise UserError(f"method.rank: {rank} is larger than the layer {name} ({most} at its widest)")
        layer = kind(base, rank, alpha, scale=self._scale(rank, alpha), dropout=self.dropout)
        if isinstance(layer, ShiftedLoRALayer):
            begin_with_weight(layer)
        return layer

    def _kind(self, base: nn.Module) -> Callable[..., Update]:
        if isinstance(base, nn.Embedding):
            if self.magnitude:
                raise UserError("method.magnitude: not over embeddings; leave them out of method.targets")
            return LoRAEmbedding
        if isinstance(base, CONVOLUTIONS):
            return DoRAConv if self.magnitude else LoRAConv
        if self.magnitude:
            return DoRALayer
        return ShiftedLoRALayer if self.start == "pissa" else LoRALayer

    def _stack_update(self, network: nn.Module, name: str, weight: Tensor) -> StackUpdate:
        if self.dropout:
            raise UserError(
                f"method.dropout: must be 0 over the experts of a mixture and their router ({name}); "
                "set it to 0, or name the linear layers alone in method.targets"
            )
        rank = by_pattern(name, self.ranks, settled(self.rank))
        alpha = by_pattern(name, self.alphas, self.alpha)
        if weight.ndim == 3 and rank > max(weight.shape[1:]):
            raise UserError(f"method.rank: {rank} is larger than each expert of {name} ({tuple(weight.shape)})")
        chosen = any(matches(name, pattern) for pattern in (*self.ranks, *self.alphas))
        if self.targets == ALL_LINEAR and weight.ndim == 3 and name.endswith(TWO_IN_ONE) and not chosen:
            rank, alpha = 2 * rank, 2 * alpha
        transposed = is_transposed_stack(network, name)
        return StackUpdate(weight, rank, alpha, scale=self._scale(rank, alpha), transposed=transposed)

    def _scale(self, rank: int, alpha: float) -> float:
        return alpha / (math.sqrt(rank) if self.rank_stabilized else rank)


def _largest(base: nn.Module) -> int:
    """-> the widest that an update of `base` can be used for."""
    if isinstance(base, nn.Embedding):
        return max(base.weight.shape)
    if isinstance(base, CONVOLUTIONS):
        return max(base.weight.shape[0], base.weight[0].numel())
    return max(sizes(base))


def refuse_quantized(name: str, base: nn.Module) -> None:
    """UserError when `base`, the layer `name`, cannot take a sum: it holds a few values only."""
    if not (isinstance(base, nn.Embedding | nn.Conv1d | nn.Conv2d | nn.Conv3d) or is_dense(base)):
        kind = type(base).__name__
        raise UserError(f"merge: {name} is quantized ({kind}); load the base in its original precision, then merge")
