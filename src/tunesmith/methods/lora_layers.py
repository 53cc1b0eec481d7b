"""The layers of LoRA: an update of low rank beside a frozen linear map, embedding or convolution.

y = W x + s B A x                          https://arxiv.org/abs/2106.09685
y = m / |W + s B A| (W + s B A) x          DoRA, the norm of each row, https://arxiv.org/abs/2402.09353

Updates are float32 whatever the base is.

Shapes: N tokens, I inputs, O outputs, R rank, V vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunesmith.core.layers import is_linear_map, sizes, weight_of
from tunesmith.methods.layer import Layer, device_of

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Update(Layer):
    """What all of them have: two factors and their strength."""

    down: nn.Parameter  # A
    up: nn.Parameter  # B

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__(base)
        self.rank, self.alpha, self.scale, self.dropout = rank, alpha, scale, dropout

    @property
    def factor(self) -> float:
        return self.scale * self.strength

    def dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.dropout and self.training else x

    def tensors(self) -> dict[str, Tensor]:
        """-> what a file holds, by the end of its name in PEFT's format."""
        return {"lora_A.weight": self.down, "lora_B.weight": self.up}


class LoRALayer(Update):
    """A frozen linear map and its update."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__(base, rank, alpha, scale=scale, dropout=dropout)
        inner, outer = sizes(base)
        device = device_of(base)
        self.down = nn.Parameter(torch.empty(rank, inner, device=device))  # A, (R, I)
        self.up = nn.Parameter(torch.zeros(outer, rank, device=device))  # B, (O, R)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.start: tuple[Tensor, Tensor] | None = None

    def factors(self) -> tuple[Tensor, Tensor]:
        """-> A and B of the whole update."""
        return self.down, self.up

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        a, b = self.factors()
        if not is_linear_map(self.base) or (self.dropout and self.training):  # over another layer, or not the same x
            return self.base(x) + self.factor * through(self.dropped(x), a, b)
        return LoRAProduct.apply(x, a, b, self.base, self.factor, True)

    def merged(self) -> nn.Module:
        with torch.no_grad():
            weight = weight_of(self.base, torch.float32)
            weight.copy_(self.whole(weight.float()).to(weight.dtype))
        return self.base

    def whole(self, weight: Tensor) -> Tensor:
        """(O, I) in float32 -> the weight with the update."""
        a, b = self.factors()
        return weight + self.factor * (b.float() @ a.float())


class ShiftedLoRALayer(LoRALayer):
    """PiSSA: the factors begin as the largest singular directions of the weight (https://arxiv.org/abs/2404.02948).

    y = W x + s (B A - B0 A0) x, which is (W - s B0 A0) x + s B A x with a base that stays as it was. As a file it is
    plain LoRA of twice the rank.
    """

    def begin(self, down: Tensor, up: Tensor) -> None:
        """(R, I), (O, R): the factors to begin with, and to subtract."""
        with torch.no_grad():
            self.down.copy_(down)
            self.up.copy_(up)
        self.register_buffer("down0", self.down.detach().clone())
        self.register_buffer("up0", self.up.detach().clone())

    def factors(self) -> tuple[Tensor, Tensor]:
        return torch.cat([self.down, self.get_buffer("down0")]), torch.cat([self.up, -self.get_buffer("up0")], 1)

    def tensors(self) -> dict[str, Tensor]:
        a, b = self.factors()
        return {"lora_A.weight": a, "lora_B.weight": b}


class DoRALayer(LoRALayer):
    """Direction by LoRA, length of each row by a vector of its own."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__(base, rank, alpha, scale=scale, dropout=dropout)
        with torch.no_grad():
            squares = weight_of(base, torch.float32).float().square().sum(1)  # (O,)
        self.register_buffer("squares", squares, persistent=False)
        self.magnitude = nn.Parameter(squares.sqrt())  # (O,)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        gain = (self.magnitude / self.length()).to(x.dtype)  # (O,)
        bias = getattr(self.base, "bias", None)
        if not is_linear_map(self.base) or (self.dropout and self.training):  # over another layer, or not the same x
            kept = self.dropped(x)
            straight = F.linear(kept, weight_of(self.root, x.dtype))
            change = (gain - 1) * straight + gain * self.scale * through(kept, *self.factors())
            return self.base(x) + self.strength * change
        y = LoRAProduct.apply(x, *self.factors(), self.base, self.scale, False) * gain
        y = y if bias is None else y + bias
        return y if self.strength == 1 else torch.lerp(self.base(x), y, self.strength)

    @torch.no_grad()
    def length(self) -> Tensor:
        """-> (O,), the norm of each row of W + s B A without making it; a constant for the gradient."""
        weight = weight_of(self.root, self.down.dtype)
        a, b = self.factors()
        along = (weight @ a.T.to(weight.dtype)).to(b.dtype)  # (O, R)
        squares = self.get_buffer("squares") + 2 * self.scale * (along * b).sum(1)
        return (squares + self.scale**2 * ((b @ (a @ a.T)) * b).sum(1)).clamp_min(0).sqrt()

    def whole(self, weight: Tensor) -> Tensor:
        a, b = self.factors()
        turned = weight + self.scale * (b @ a)
        return torch.lerp(weight, self.magnitude[:, None] * turned / turned.norm(dim=1, keepdim=True), self.strength)

    def tensors(self) -> dict[str, Tensor]:
        return {**super().tensors(), "lora_magnitude_vector": self.magnitude}


class LoRAEmbedding(Update):
    """A frozen embedding and its update; A is zero at the start, as in PEFT."""

    def __init__(self, base: nn.Embedding, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__(base, rank, alpha, scale=scale, dropout=dropout)
        rows, width = base.weight.shape
        self.down = nn.Parameter(torch.zeros(rank, rows, device=base.weight.device))  # (R, V)
        self.up = nn.Parameter(torch.randn(width, rank, device=base.weight.device))  # (O, R)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.base(tokens)
        if not self.active:
            return x
        found = F.embedding(tokens, self.down.T.to(x.dtype))  # (..., R)
        return x + self.factor * self._scaling * F.linear(found, self.up.to(x.dtype))

    @property
    def _scaling(self) -> Tensor | float:
        """What some families multiply their embeddings by."""
        return getattr(self.root, "embed_scale", 1.0)

    @property
    def weight(self) -> Tensor:
        return self._inner.weight

    @property
    def num_embeddings(self) -> int:
        return self._inner.num_embeddings

    @property
    def _inner(self) -> Any:
        return self.base

    def merged(self) -> nn.Module:
        with torch.no_grad():
            self.weight.copy_((self.weight.float() + self.factor * (self.up @ self.down).T).to(self.weight.dtype))
        return self.base

    def tensors(self) -> dict[str, Tensor]:
        return {"lora_embedding_A": self.down, "lora_embedding_B": self.up}


class LoRAConv(Update):
    """A frozen convolution; A is a convolution of the same kind into R channels, B one of size one."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__(base, rank, alpha, scale=scale, dropout=dropout)
        weight = self._weight
        self.down = nn.Parameter(torch.empty(rank, *weight.shape[1:], device=weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, *[1] * (weight.ndim - 2), device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    @property
    def _weight(self) -> Tensor:
        base: Any = self.base
        return base.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        if not self.active:
            return y
        root: Any = self.root
        inner = root._conv_forward(self.dropped(x), self.down.to(x.dtype), None)
        up = self.up.to(x.dtype).flatten(1)  # (O, R)
        return y + self.factor * torch.einsum("or,br...->bo...", up, inner)

    def merged(self) -> nn.Module:
        with torch.no_grad():
            update = (self.up.flatten(1) @ self.down.flatten(1)).view_as(self._weight)
            self._weight.copy_((self._weight.float() + self.factor * update).to(self._weight.dtype))
        return self.base


class DoRAConv(LoRAConv):
    """As `DoRALayer`: the direction of each filter by LoRA, its length by a vector of its own."""

    def __init__(self, base: nn.Module, rank: int, alpha: float, *, scale: float, dropout: float) -> None:
        super().__init__(base, rank, alpha, scale=scale, dropout=dropout)
        self.magnitude = nn.Parameter(
            _lengths(self._weight.detach().float()).transpose(0, 1).contiguous()
        )  # (1, O, ...)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        root: Any = self.root
        kept = self.dropped(x)
        straight = root._conv_forward(kept, root.weight, None)
        inner = root._conv_forward(kept, self.down.to(x.dtype), None)
        with torch.no_grad():  # a constant for the gradient, as in the paper
            length = _lengths(self._turned(root.weight.float())).transpose(0, 1)
        gain = (self.magnitude / length).to(x.dtype)
        added = torch.einsum("or,br...->bo...", self.up.to(x.dtype).flatten(1), inner)
        return self.base(x) + self.strength * ((gain - 1) * straight + gain * self.scale * added)

    def _turned(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up.flatten(1) @ self.down.flatten(1)).view_as(weight)

    def merged(self) -> nn.Module:
        with torch.no_grad():
            weight = self._weight.float()
            turned = self._turned(weight)
            whole = self.magnitude.transpose(0, 1) * turned / _lengths(turned)
            self._weight.copy_(torch.lerp(weight, whole, self.strength).to(self._weight.dtype))
        return self.base

    def tensors(self) -> dict[str, Tensor]:
        return {**super().tensors(), "lora_magnitude_vector": self.magnitude}


def _lengths(weight: Tensor) -> Tensor:
    """(O, I, ...) -> (O, 1, ...), the norm of each filter."""
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))


def through(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """B A x, plainly."""
    return F.linear(F.linear(x, a.to(x.dtype)), b.to(x.dtype))


class LoRAProduct(torch.autograd.Function):
    """W x + s B A x with a backward pass of five products and no full-size temporary.

    The plain twin is `base(x) + scale * linear(linear(x, A), B)`.
    """

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd takes no keywords
        ctx: Any, x: Tensor, down: Tensor, up: Tensor, base: nn.Module, scale: float, biased: bool
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])  # (N, I)
        weight = weight_of(base, x.dtype)
        bias = getattr(base, "bias", None) if biased else None
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
        return dx, d_down, d_up, None, None, None
