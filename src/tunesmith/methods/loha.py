"""LoHa: a Hadamard product of two low-rank matrices beside a frozen layer (FedPara, https://arxiv.org/abs/2108.06098).

D = (a1 b1) * (a2 b2)        a (O, R), b (R, I); * entry by entry: rank up to R^2 from 2 R (O + I) numbers

Entry by entry, the sum over R times the sum over R is one sum over R^2: D = up down with up[o, pq] = a1[o, p] a2[o, q]
and down[pq, i] = b1[p, i] b2[q, i]. So LoHa runs as a LoRA of rank R^2, and no matrix of the size of the layer is made.

Format: PEFT's LOHA. Shapes: N tokens, I inputs, O outputs, R rank.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.layers import is_linear_map, sizes
from tunesmith.methods.layer import StoredLayer, device_of
from tunesmith.methods.lora_layers import LoRAProduct
from tunesmith.methods.lycoris import Lycoris, ProductLayer
from tunesmith.methods.rank import Rank


class LoHaLayer(ProductLayer):
    """A frozen linear map and its update, of float32 whatever the base is."""

    def __init__(self, base: nn.Module, rank: int, alpha: float) -> None:
        super().__init__(base, rank, alpha)
        inputs, outputs = sizes(base)
        device = device_of(base)
        self.hada_w1_a = nn.Parameter(0.1 * torch.randn(outputs, rank, device=device))
        self.hada_w1_b = nn.Parameter(torch.randn(rank, inputs, device=device))
        self.hada_w2_a = nn.Parameter(torch.zeros(outputs, rank, device=device))
        self.hada_w2_b = nn.Parameter(torch.randn(rank, inputs, device=device))

    @property
    def narrow(self) -> bool:
        """Whether R^2 columns are less work than the whole matrix and its gradient."""
        return self.rank**2 <= min(sizes(self.base)) / 2 if is_linear_map(self.base) else False

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        if self.narrow:
            return LoRAProduct.apply(x, *self.factors(), self.base, self.factor, True)
        return self.base(x) + self.factor * F.linear(x, self.product().to(x.dtype))

    def factors(self) -> tuple[Tensor, Tensor]:
        """-> A (R^2, I) and B (O, R^2) of the LoRA that it is."""
        down = self.hada_w1_b[:, None] * self.hada_w2_b[None]  # (R, R, I)
        up = self.hada_w1_a[:, :, None] * self.hada_w2_a[:, None]  # (O, R, R)
        return down.flatten(0, 1), up.flatten(1)

    def product(self) -> Tensor:
        return (self.hada_w1_a @ self.hada_w1_b) * (self.hada_w2_a @ self.hada_w2_b)


class LoHa(Lycoris):
    """Hadamard products of low-rank matrices: a high rank from few numbers."""

    layers: ClassVar[type[StoredLayer]] = LoHaLayer
    products: ClassVar[type[ProductLayer]] = LoHaLayer
    peft_type: ClassVar[str] = "LOHA"

    kind: Literal["loha"] = "loha"
    rank: Rank = 4
    """Width of the four matrices of a layer. The update has the rank, and the cost, of a LoRA of its square. auto: by
    trial, as for lora."""
    alpha: float = Field(8.0, gt=0)
    """Strength: the product is multiplied by alpha / rank."""

    @property
    def learning_rate(self) -> float:
        return 1e-4

    @property
    def reason(self) -> str:
        return "a step then moves a weight twice as far as one of LoRA does, and it learns as fast (decision 6)"

    def made(self, base: nn.Module, rank: int, alpha: float) -> ProductLayer:
        return LoHaLayer(base, rank, alpha)
