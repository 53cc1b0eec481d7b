"""LoKr: a Kronecker product beside a frozen layer (https://arxiv.org/abs/2108.06098, https://arxiv.org/abs/2309.14859).

D = w1 (x) w2        w1 (O1, I1), w2 (O2, I2) = a b where the rank is small, O = O1 O2, I = I1 I2

D is never made: with x as (I1, I2), D x is w1 x w2' as (O1, O2). https://en.wikipedia.org/wiki/Kronecker_product

Format: PEFT's LOKR. Shapes: N tokens, I inputs, O outputs, R rank; M = I2 or, through b, R.
"""

from collections.abc import Mapping
from math import isqrt, sqrt
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.layers import is_linear_map, sizes, weight_of
from tunesmith.methods.layer import StoredLayer, device_of
from tunesmith.methods.lycoris import Lycoris, ProductLayer
from tunesmith.methods.rank import Rank


class LoKrLayer(ProductLayer):
    """A frozen linear map and its update, of float32 whatever the base is."""

    lokr_w1: nn.Parameter
    lokr_w1_a: nn.Parameter
    lokr_w1_b: nn.Parameter
    lokr_w2: nn.Parameter
    lokr_w2_a: nn.Parameter
    lokr_w2_b: nn.Parameter

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, factor: int | None, both: bool) -> None:
        super().__init__(base, rank, alpha)
        inputs, outputs = sizes(base)
        (o1, o2), (i1, i2) = split(outputs, factor), split(inputs, factor)
        device = device_of(base)

        def matrix(rows: int, columns: int, *, zero: bool = False) -> nn.Parameter:
            """He's start, or zero."""
            spread = 0.0 if zero else 1 / sqrt(columns)
            return nn.Parameter(torch.empty(rows, columns, device=device).uniform_(-spread, spread))

        if both and rank < max(o1, i1) / 2:
            self.lokr_w1_a = matrix(o1, rank, zero=True)
            self.lokr_w1_b = matrix(rank, i1)
        else:
            self.lokr_w1 = matrix(o1, i1, zero=True)
        self.factored = rank < max(o2, i2) / 2
        if self.factored:
            self.lokr_w2_a = matrix(o2, rank)
            self.lokr_w2_b = matrix(rank, i2)
        else:
            self.lokr_w2 = matrix(o2, i2)

    @property
    def first(self) -> Tensor:
        """-> w1, (O1, I1)."""
        return self.lokr_w1 if hasattr(self, "lokr_w1") else self.lokr_w1_a @ self.lokr_w1_b

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        up, down = (self.lokr_w2_a, self.lokr_w2_b) if self.factored else (self.lokr_w2, None)
        if is_linear_map(self.base):
            return KroneckerProduct.apply(x, self.first, up, down, self.base, self.factor)
        return self.base(x) + self.factor * F.linear(x, self.product().to(x.dtype))

    def product(self) -> Tensor:
        return torch.kron(self.first, self.lokr_w2_a @ self.lokr_w2_b if self.factored else self.lokr_w2)


class KroneckerProduct(torch.autograd.Function):
    """W x + s (w1 (x) up down) x; `down` may be missing. The plain twin makes D whole: `ProductLayer.product`."""

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd takes no keywords
        ctx: Any, x: Tensor, first: Tensor, up: Tensor, down: Tensor | None, base: nn.Module, scale: float
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])  # (N, I)
        y = F.linear(flat, weight_of(base, x.dtype), getattr(base, "bias", None))  # (N, O)
        w, a, b = (None if t is None else t.to(x.dtype) for t in (first, up, down))
        assert w is not None
        assert a is not None
        rows = flat.reshape(-1, flat.shape[1] // w.shape[1])  # (N I1, I2)
        inner = rows if b is None else rows @ b.T  # (N I1, M)
        mixed = _mixed(inner, w)  # (N O1, M)
        y.view(-1, a.shape[0]).addmm_(mixed, a.T, alpha=scale)
        ctx.save_for_backward(flat, inner, mixed, w, a, b)
        ctx.base, ctx.scale, ctx.shape, ctx.dtype = base, scale, x.shape, first.dtype
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, inner, mixed, w, a, b = ctx.saved_tensors
        dy = grads[0].reshape(-1, grads[0].shape[-1])  # (N, O)
        parts = dy.reshape(-1, a.shape[0])  # (N O1, O2)
        d_mixed = (parts @ a).mul_(ctx.scale)  # (N O1, M)
        d_inner = _mixed(d_mixed, w.T)  # (N I1, M)
        rows = flat.reshape(d_inner.shape[0], -1)  # (N I1, I2)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ weight_of(ctx.base, dy.dtype)
            if b is None:
                dx.view_as(d_inner).add_(d_inner)
            else:
                dx.view_as(rows).addmm_(d_inner, b)
            dx = dx.view(ctx.shape)
        d_first = _paired(d_mixed, inner, w).to(ctx.dtype)
        d_up = (parts.T @ mixed).to(ctx.dtype).mul_(ctx.scale)
        d_down = None if b is None else (d_inner.T @ rows).to(ctx.dtype)
        return dx, d_first, d_up, d_down, None, None


def _mixed(inner: Tensor, first: Tensor) -> Tensor:
    """(N I1, M), (O1, I1) -> (N O1, M)."""
    tokens = inner.view(-1, first.shape[1], inner.shape[1])  # (N, I1, M)
    return torch.matmul(first, tokens).flatten(0, 1)


def _paired(d_mixed: Tensor, inner: Tensor, first: Tensor) -> Tensor:
    """(N O1, M), (N I1, M) -> the gradient of w1, (O1, I1)."""
    left = d_mixed.view(-1, first.shape[0], d_mixed.shape[1])
    right = inner.view(-1, first.shape[1], inner.shape[1])
    return left.transpose(1, 2).flatten(0, 1).T @ right.transpose(1, 2).flatten(0, 1)


def split(size: int, factor: int | None) -> tuple[int, int]:
    """-> two numbers whose product is `size`: `factor` and the rest where it divides, else the nearest pair."""
    if factor is not None and size % factor == 0:
        return factor, size // factor
    most = isqrt(size) if factor is None else min(isqrt(size), factor)
    small = next(n for n in range(most, 0, -1) if size % n == 0)
    return small, size // small


class LoKr(Lycoris):
    """Kronecker products: very few numbers that change whole matrices."""

    layers: ClassVar[type[StoredLayer]] = LoKrLayer
    products: ClassVar[type[ProductLayer]] = LoKrLayer
    peft_type: ClassVar[str] = "LOKR"

    kind: Literal["lokr"] = "lokr"
    rank: Rank = 8
    """Width of the two matrices that make the larger factor; from half of that factor's size on it is made whole. auto:
    found by trial, as for lora."""
    alpha: float = Field(16.0, gt=0)
    """Strength: the product is multiplied by alpha / rank."""
    factor: int | None = Field(None, ge=1, le=4096)
    """Size of w1, where it divides the layer's; else the nearest below. None: w1 and w2 as near in size as can be."""
    decompose_both: bool = False
    """Make the smaller factor of two matrices as well, where the rank is less than half of its size."""

    @property
    def learning_rate(self) -> float:
        return 1e-3

    @property
    def reason(self) -> str:
        return "so few numbers need long steps: with 1e-3 it learns as fast as LoRA with 2e-4 (decision 6)"

    def made(self, base: nn.Module, rank: int, alpha: float) -> ProductLayer:
        return LoKrLayer(base, rank, alpha, factor=self.factor, both=self.decompose_both)

    def described(self, network: nn.Module) -> dict[str, Any]:
        return super().described(network) | {
            "decompose_both": self.decompose_both,
            "decompose_factor": -1 if self.factor is None else self.factor,
            "rank_dropout_scale": False,
        }

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> dict[str, Any]:
        factor = described.get("decompose_factor", -1)
        return {"factor": None if factor == -1 else factor, "decompose_both": described.get("decompose_both", False)}
