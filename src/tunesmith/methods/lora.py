"""LoRA: learn a low-rank update to a frozen linear map (https://arxiv.org/abs/2106.09685).

y = W x + s B A x        W frozen, A random, B zero at the start
s = alpha / rank, or alpha / sqrt(rank) when rank-stabilised (https://arxiv.org/abs/2312.03732)

Shapes: N tokens, I inputs, O outputs, R rank.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.config import Config
from tunesmith.core.errors import UserError
from tunesmith.core.layers import is_dense, is_transposed, sizes, weight_of
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
from tunesmith.methods.peft_names import FILE, described_targets, first_match, targeted
from tunesmith.methods.tied import untie


class LoRA(Config):
    """Low-rank adaptation of linear layers."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, le=4096)
    """Width of the update. 16 is enough for small data; quality depends little on it once the rate fits."""
    alpha: float = Field(32.0, gt=0)
    """Strength: the update is multiplied by alpha / rank. Twice the rank is the usual choice."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of inputs of the update that are dropped in training."""
    targets: Targets = "all-linear"
    """Layers by the end of their name or by a pattern, or `all-linear`: every linear layer but the output head, the
    stacked experts of a mixture and their routers included; both halves of `gate_up_proj` then have the rank.
    Attention and feed-forward together learn more and forget less than attention alone at equal size."""
    rank_stabilized: bool = False
    """Divide alpha by the square root of the rank: for ranks of 64 and more."""
    ranks: dict[str, int] = Field(default_factory=dict)
    """Other ranks for layers that match a pattern, for example {"down_proj": 32}."""
    alphas: dict[str, float] = Field(default_factory=dict)
    """Other strengths for layers that match a pattern."""

    @property
    def learning_rate(self) -> float:
        return 2e-4

    @property
    def reason(self) -> str:
        return "about ten times the rate of full fine-tuning suits LoRA at any rank (LoRA Without Regret, 2025)"

    def attach(self, network: nn.Module) -> None:
        """Replace each target by a layer that adds a trainable update to it. Raises UserError without a target."""
        found = find_targets(network, self.targets)
        refuse_unmatched(self.ranks, found, "method.ranks")
        refuse_unmatched(self.alphas, found, "method.alphas")
        updates = {n: self._stack_update(network, n, p) for n, p in found.items() if isinstance(p, nn.Parameter)}
        wrap(network, {name: m for name, m in found.items() if isinstance(m, nn.Module)}, self._layer)
        wrap_stacks(network, updates)

    def detach(self, network: nn.Module) -> None:
        """Take every update out again: the tree is as it was before `attach`."""
        for name, base in _bases(network).items():
            network.set_submodule(name, base)

    def merge(self, network: nn.Module) -> None:
        """Add every update to its base weight and take the layers out: all of them, or an error and no change.

        A head that shares its weight with the embedding gets one of its own, for the update belongs to one of them.
        Raises UserError over a quantized layer: the sum would be rounded to the few values that it can hold.
        """
        layers = dict(wrapped(network, LoRALayer))
        for name, layer in layers.items():
            if not is_dense(layer.base):
                kind = type(layer.base).__name__
                raise UserError(
                    f"merge: {name} is quantized ({kind}); load the base in its original precision, then merge"
                )
        for name, layer in layers.items():
            untie(network, layer.base)
            network.set_submodule(name, layer.merged())
        for name, stack in wrapped(network, StackLayer):
            network.set_submodule(name, stack.merged())

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        """-> what a file must hold, by PEFT's names below `base_model.model.`."""
        layers: dict[str, LoRALayer | StackUpdate] = dict(wrapped(network, LoRALayer))
        for name, stack in wrapped(network, StackLayer):
            layers |= stored_names(name, stack)
        tensors: dict[str, Tensor] = {}
        for name, layer in layers.items():
            tensors[f"{name}.lora_A.weight"] = layer.down
            tensors[f"{name}.lora_B.weight"] = layer.up
        return tensors

    def described(self, network: nn.Module) -> dict[str, Any]:
        """-> the keys of PEFT's `adapter_config.json` that belong to this method."""
        layers, stacked = dict(wrapped(network, LoRALayer)), dict[str, StackUpdate]()
        for name, stack in wrapped(network, StackLayer):
            stacked |= {f"{name}.{own}": update for own, update in stack.by_name().items()}
        every: dict[str, LoRALayer | StackUpdate] = {**layers, **stacked}
        return {
            "peft_type": "LORA",
            "r": self.rank,
            "lora_alpha": _number(self.alpha),
            "lora_dropout": self.dropout,
            **described_targets(network, _bases(network), list(every)),
            "use_rslora": self.rank_stabilized,
            "rank_pattern": {n: layer.rank for n, layer in every.items() if layer.rank != self.rank},
            "alpha_pattern": {n: _number(layer.alpha) for n, layer in every.items() if layer.alpha != self.alpha},
            "fan_in_fan_out": any(is_transposed(layer.base) for layer in layers.values()),
        }

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "LoRA":
        """The method that PEFT's `adapter_config.json` describes, its names and patterns resolved in `network`.

        Raises UserError for what plain LoRA has not and for targets that the network has not.
        """
        _refuse_variants(described)
        names = targeted(network, described)
        ranks, alphas = described.get("rank_pattern") or {}, described.get("alpha_pattern") or {}
        rank, alpha = described.get("r", 8), described.get("lora_alpha", 8)
        return cls(
            rank=rank,
            alpha=alpha,
            dropout=described.get("lora_dropout", 0.0),
            targets=tuple(names),
            rank_stabilized=described.get("use_rslora", False),
            ranks={n: first_match(key, ranks, rank, "rank_pattern") for n, key in names.items()} if ranks else {},
            alphas={n: first_match(key, alphas, alpha, "alpha_pattern") for n, key in names.items()} if alphas else {},
        )

    def _layer(self, name: str, base: nn.Module) -> "LoRALayer":
        rank = by_pattern(name, self.ranks, self.rank)
        alpha = by_pattern(name, self.alphas, self.alpha)
        if rank > max(sizes(base)):
            raise UserError(
                f"method.rank: {rank} is larger than the layer {name} ({sizes(base)[0]} by {sizes(base)[1]})"
            )
        return LoRALayer(base, rank, alpha, scale=self._scale(rank, alpha), dropout=self.dropout)

    def _stack_update(self, network: nn.Module, name: str, weight: Tensor) -> StackUpdate:
        if self.dropout:
            raise UserError(
                f"method.dropout: must be 0 over the experts of a mixture and their router ({name}); "
                "set it to 0, or name the linear layers alone in method.targets"
            )
        rank = by_pattern(name, self.ranks, self.rank)
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


def _number(alpha: float) -> float:
    """Whole numbers are written without a point, as PEFT does."""
    return alpha if alpha % 1 else int(alpha)


def _bases(network: nn.Module) -> dict[str, nn.Module]:
    """-> name of what stands in the tree: what it wraps."""
    layers = {name: layer.base for name, layer in wrapped(network, LoRALayer)}
    return layers | {name: stack.base for name, stack in wrapped(network, StackLayer)}


TWO_IN_ONE = ".gate_up_proj"  # two linear maps in one: they share A, so it gets the rank of both, as in PEFT

# Keys of PEFT that change what the tensors mean, and the values with which they change nothing.
_VARIANTS = (
    "use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "layer_replication",
    "use_qalora", "alora_invocation_tokens", "arrow_config", "monteclora_config", "use_bdlora", "kasa_config",
    "velora_config", "megatron_config",
)  # fmt: skip
_HARMLESS_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")  # the others change the base as well


def _refuse_variants(described: Mapping[str, Any]) -> None:
    for key in _VARIANTS:
        if described.get(key):
            raise UserError(f"{FILE}: `{key}` is not supported; merge the adapter with the tool that made it")
    if described.get("bias", "none") != "none":
        raise UserError(f"{FILE}: trained biases (`bias`) are not supported; merge the adapter with its own tool")
    start = described.get("init_lora_weights", True)
    if start not in _HARMLESS_STARTS:
        raise UserError(
            f"{FILE}: `init_lora_weights` is {start}, which changed the base as well; "
            "save it again with path_initial_model_for_weight_conversion"
        )


class LoRALayer(nn.Module):
    """A frozen linear map and its update. The update is float32 whatever the base is."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__()
        inner, outer = sizes(base)
        device = next(base.parameters()).device
        self.base = base
        self.down = nn.Parameter(torch.empty(rank, inner, device=device))  # A, (R, I)
        self.up = nn.Parameter(torch.zeros(outer, rank, device=device))  # B, (O, R)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.rank, self.alpha, self.scale, self.dropout = rank, alpha, scale, dropout
        self.active = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        if self.dropout and self.training:
            kept = F.dropout(x, self.dropout)
            update = F.linear(F.linear(kept, self.down.to(x.dtype)), self.up.to(x.dtype))
            return self.base(x) + self.scale * update
        return LoRAProduct.apply(x, self.down, self.up, self.base, self.scale)

    def merged(self) -> nn.Module:
        """The base layer with the update added in float32 and rounded once."""
        with torch.no_grad():
            weight = weight_of(self.base, torch.float32)
            update = self.up.float() @ self.down.float()
            weight.copy_((weight.float() + self.scale * update).to(weight.dtype))
        return self.base


class LoRAProduct(torch.autograd.Function):
    """W x + s B A x with a backward pass of five products and no full-size temporary.

    The plain twin is `base(x) + scale * linear(linear(x, A), B)`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, up: Tensor, base: nn.Module, scale: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])  # (N, I)
        weight = weight_of(base, x.dtype)
        bias = getattr(base, "bias", None)
        a, b = down.to(x.dtype), up.to(x.dtype)
        inner = flat @ a.T  # (N, R)
        y = F.linear(flat, weight, bias)  # (N, O)
        y.addmm_(inner, b.T, alpha=scale)
        ctx.save_for_backward(flat, inner, a, b)
        ctx.base, ctx.scale, ctx.shape, ctx.dtype = base, scale, x.shape, down.dtype
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, a, b = ctx.saved_tensors
        dy = grads[0].reshape(-1, grads[0].shape[-1])  # (N, O)
        through = (dy @ b).mul_(ctx.scale)  # (N, R)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ weight_of(ctx.base, dy.dtype)
            dx.addmm_(through, a)
            dx = dx.view(ctx.shape)
        d_down = (through.T @ x).to(ctx.dtype)
        d_up = (dy.T @ inner).to(ctx.dtype).mul_(ctx.scale)
        return dx, d_down, d_up, None, None
