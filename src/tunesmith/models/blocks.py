"""The small formulas of a Llama-shaped block, each with a backward pass that keeps little. Twins: `plain_*`.

Shapes: T tokens, D width, F inner width of the feed-forward part, H heads.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (https://arxiv.org/abs/1910.07467)."""
    return RMSNorm.apply(x, weight, eps)


def plain_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


class RMSNorm(torch.autograd.Function):
    """`rms_norm`; keeps its input and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.rsqrt(norm.square_().div_(x.shape[-1]).add_(eps))  # (..., 1)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse.to(x.dtype)).mul_(weight) if x.dtype == torch.float32 else _scaled(x, inverse, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        dy = grads[0]
        normal = x.float() * inverse
        d_weight = (dy.float() * normal).flatten(0, -2).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        g = (dy * weight).float()
        along = (g * normal).mean(-1, keepdim=True)
        dx = g.sub_(normal.mul_(along)).mul_(inverse)
        return dx.to(x.dtype), d_weight, None


def _scaled(x: Tensor, inverse: Tensor, weight: Tensor) -> Tensor:
    return (x.float().mul_(inverse)).to(x.dtype).mul_(weight)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """SwiGLU: silu(gate) * up (https://arxiv.org/abs/2002.05202)."""
    return SwiGLU.apply(gate, up)


def plain_gated(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


class SwiGLU(torch.autograd.Function):
    """`gated`; keeps its two inputs and nothing else."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        d_gate = torch.ops.aten.silu_backward(grads[0] * up, gate)
        d_up = F.silu(gate).mul_(grads[0])
        return d_gate, d_up


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (https://arxiv.org/abs/2104.09864). (T, H, D), (T, D), (T, D) -> (T, H, D)."""
    return Rotation.apply(x, cos, sin)


def plain_rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]


class Rotation(torch.autograd.Function):
    """`rotate`; the gradient is the rotation backwards, so nothing of x is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turn(grads[0], cos, -sin), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    c, s = cos[:, None, :half], sin[:, None, :half]  # both halves of cos and sin are equal
    first, second = x[..., :half], x[..., half:]
    y = torch.empty_like(x)
    torch.mul(first, c, out=y[..., :half]).addcmul_(second, s, value=-1)
    torch.mul(second, c, out=y[..., half:]).addcmul_(first, s)
    return y
