"""What LoHa and LoKr have in common: a product of small matrices beside a frozen linear map, LyCORIS's way.

y = W x + s D x        D a product, zero at the start, s = alpha / rank

Paper: https://arxiv.org/abs/2309.14859. Format: PEFT's LOHA and LOKR. PEFT adapts `nn.Linear` only and refuses a file
for GPT-2's transposed layers with an error; here D is (out, in) for these as well.

Shapes: I inputs, O outputs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.layers import sizes, weight_of
from tunesmith.methods.inject import Targets, by_pattern, find_linear, refuse_unmatched, wrap, wrapped
from tunesmith.methods.layer import StoredLayer
from tunesmith.methods.layered import Layered
from tunesmith.methods.peft_names import first_match, refuse, short_names, targeted
from tunesmith.methods.rank import Rank, settled


class ProductLayer(StoredLayer):
    """A frozen linear map and the product beside it."""

    def __init__(self, base: nn.Module, rank: int, alpha: float) -> None:
        super().__init__(base)
        self.rank, self.alpha = rank, alpha

    @property
    def factor(self) -> float:
        return self.strength * self.alpha / self.rank

    def product(self) -> Tensor:
        """-> D, (O, I), made whole: for merging, and as the plain twin of `forward`."""
        raise AssertionError("every product can be made whole")

    def merged(self) -> nn.Module:
        with torch.no_grad():
            weight = weight_of(self.base, torch.float32)
            weight.copy_((weight.float() + self.factor * self.product()).to(weight.dtype))
        return self.base

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.named_parameters(recurse=False))


class Lycoris(Layered):
    """The settings and the file of both."""

    peft_type: ClassVar[str]
    products: ClassVar[type[ProductLayer]]

    kind: str
    rank: Rank = 8
    """Width of the small matrices."""
    alpha: float = Field(8.0, gt=0)
    """Strength: the product is multiplied by alpha / rank."""
    targets: Targets = "all-linear"
    """Layers by the end of their name or by a pattern, or `all-linear`: every linear layer but the output head. The
    stacked experts of a mixture are no layers: there the attention alone is adapted."""
    ranks: dict[str, int] = Field(default_factory=dict)
    """Other ranks for layers that match a pattern, for example {"down_proj": 8}."""
    alphas: dict[str, float] = Field(default_factory=dict)
    """Other strengths for layers that match a pattern."""

    def attach(self, network: nn.Module) -> None:
        """Replace each target by a layer that adds a trainable product to it. Raises UserError without a target."""
        found = find_linear(network, self.targets)
        refuse_unmatched(self.ranks, found, "method.ranks")
        refuse_unmatched(self.alphas, found, "method.alphas")
        wrap(network, found, self._layer)

    def _layer(self, name: str, base: nn.Module) -> ProductLayer:
        rank = by_pattern(name, self.ranks, settled(self.rank))
        if rank > (most := max(sizes(base))):
            raise UserError(f"method.rank: {rank} is larger than the layer {name} ({most} at its widest)")
        return self.made(base, rank, by_pattern(name, self.alphas, self.alpha))

    def made(self, base: nn.Module, rank: int, alpha: float) -> ProductLayer:
        """-> the layer over `base`."""
        raise AssertionError("each method makes its own")

    def described(self, network: nn.Module) -> dict[str, Any]:
        layers = dict(wrapped(network, self.products))
        return {
            "peft_type": self.peft_type,
            "r": self.rank,
            "alpha": _number(self.alpha),
            "target_modules": short_names(network, list(layers)),
            "rank_pattern": {name: layer.rank for name, layer in layers.items() if layer.rank != self.rank},
            "alpha_pattern": {n: _number(layer.alpha) for n, layer in layers.items() if layer.alpha != self.alpha},
            "init_weights": True,
            "modules_to_save": None,
            "module_dropout": 0.0,
            "rank_dropout": 0.0,
            "use_effective_conv2d": False,
        }

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> Self:
        """Dropout of the file, which acts in training alone, is left out."""
        refuse(described, ["modules_to_save"])
        names = targeted(network, described)
        ranks, alphas = described.get("rank_pattern") or {}, described.get("alpha_pattern") or {}
        rank, alpha = described.get("r", 8), described.get("alpha", 8)
        return cls(
            rank=rank,
            alpha=alpha,
            targets=tuple(names),
            ranks={n: first_match(key, ranks, rank, "rank_pattern") for n, key in names.items()} if ranks else {},
            alphas={n: first_match(key, alphas, alpha, "alpha_pattern") for n, key in names.items()} if alphas else {},
            **cls.read(described),
        )

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> dict[str, Any]:
        """-> the fields of one method alone."""
        return {}


def _number(alpha: float) -> float:
    """Whole numbers are written without a point, as PEFT does."""
    return alpha if alpha % 1 else int(alpha)
