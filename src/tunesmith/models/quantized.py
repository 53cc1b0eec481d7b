"""Linear maps in four or eight bits, so that a base takes a quarter or half of its memory while an adapter trains.

nf4   W = code[q] a       code: 16 quantiles of a normal distribution; a: the largest of 64 values, itself in 8 bits
int8  W = q s             s: the largest of a row, by 127

QLoRA, https://arxiv.org/abs/2305.14314; LLM.int8(), https://arxiv.org/abs/2208.07339 (its weights; inputs stay whole).
A weight exists in full only while a product needs it, and is unpacked again for the backward pass. Packed tensors are
buffers: a proof that the base stayed as it was covers them.

Shapes: N tokens, I inputs, O outputs, B blocks of 64 weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.kernels import bitsandbytes
from tunesmith.core.layers import Quantization, is_dense, is_transposed, sizes, weight_of

BLOCK, OUTER = 64, 256  # weights that share a scale; scales that share theirs
ROUTERS = {"router", "gate", "shared_expert_gate"}  # names that mixtures give to what chooses among their experts


class QuantizedLinear(nn.Module):
    """A frozen linear map that keeps its weight packed: a `core.layers.LinearMap`."""

    packed: Tensor
    scales: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.in_features, self.out_features = sizes(layer)
        self.transposed = is_transposed(layer)  # in the files of the base
        self.bias: nn.Parameter | None = getattr(layer, "bias", None)

    def dense_weight(self, dtype: torch.dtype) -> Tensor:
        """-> (O, I), made for the caller alone."""
        raise AssertionError("each way to pack a weight unpacks it")

    def forward(self, x: Tensor) -> Tensor:
        return QuantizedProduct.apply(x, self.bias, self)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class NF4Linear(QuantizedLinear):
    """Four bits a weight, and an eighth of a bit for the scales."""

    outer_scales: Tensor
    offset: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer)
        flat = weight_of(layer, torch.float32).detach().reshape(-1)
        # In whole blocks: of a row that ends within a block, bitsandbytes 0.50 unpacks the rest with a wrong scale.
        flat = F.pad(flat, (0, -flat.numel() % BLOCK))
        places, scales = _nearest(flat.view(-1, BLOCK).float())
        offset = scales.double().mean().float()  # in double precision it is the same for any number of threads
        inner, outer = torch.ops.bitsandbytes.quantize_blockwise(scales - offset, _code(flat.device), OUTER)
        self.register_buffer("packed", places[:, ::2] << 4 | places[:, 1::2])  # (B, 32), two weights a byte
        self.register_buffer("scales", inner)  # (B,)
        self.register_buffer("outer_scales", outer)
        self.register_buffer("offset", offset)

    def dense_weight(self, dtype: torch.dtype) -> Tensor:
        code = _code(self.packed.device)
        scales = torch.ops.bitsandbytes.dequantize_blockwise(
            self.scales, self.outer_scales, code, OUTER, torch.float32
        ).add_(self.offset)
        shape = (len(self.packed), BLOCK)
        blocks = torch.ops.bitsandbytes.dequantize_4bit(self.packed, scales, BLOCK, "nf4", shape, dtype)
        return blocks.view(-1)[: self.out_features * self.in_features].view(self.out_features, self.in_features)


class Int8Linear(QuantizedLinear):
    """Eight bits a weight, and a scale a row."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer)
        weight = weight_of(layer, torch.float32).detach().float()
        largest = weight.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)  # (O, 1)
        # Rounded up to what bfloat16 can hold: a weight is then made by one product in the type that it is wanted in.
        scales = (largest / 127 * (1 + 2**-8)).bfloat16()
        self.register_buffer("packed", (weight / scales.float()).round_().to(torch.int8))  # (O, I)
        self.register_buffer("scales", scales)

    def dense_weight(self, dtype: torch.dtype) -> Tensor:
        return self.packed.to(dtype).mul_(self.scales.to(dtype))


class QuantizedProduct(torch.autograd.Function):
    """W x + b, whose backward pass unpacks W again instead of keeping it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.dense_weight(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy = grads[0]
        dx = dy @ ctx.layer.dense_weight(dy.dtype) if ctx.needs_input_grad[0] else None
        d_bias = dy.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return dx, d_bias, None


LAYERS: dict[Quantization, type[NF4Linear] | type[Int8Linear]] = {"nf4": NF4Linear, "int8": Int8Linear}


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What quantizing did, in bytes of the layers that it was done to."""

    kind: Quantization
    layers: int
    before: int
    after: int
    weights: int  # numbers, without biases
    stacked: int  # bytes of experts that stay as they are

    def __str__(self) -> str:
        rest = f"; the stacked experts stay dense, {_megabytes(self.stacked)}" if self.stacked else ""
        return (
            f"base in {self.kind}: {self.layers} linear layers take {_megabytes(self.after)} instead of "
            f"{_megabytes(self.before)}, {8 * self.after / self.weights:.2f} bits a weight{rest}"
        )


@torch.no_grad()
def quantize(network: nn.Module, kind: Quantization) -> Shrunk:
    """Pack the weights of all linear maps but the output head and routers, in place, one layer after the other.

    Embeddings, norms, biases and stacked experts stay as they are. UserError when there is nothing to pack.
    """
    bitsandbytes()
    before = after = weights = 0
    names = list(_names(network))
    for name in names:
        layer = network.get_submodule(name)
        packed = LAYERS[kind](layer)
        network.set_submodule(name, packed)
        weight = weight_of(layer, torch.float32)
        before, weights = before + weight.nbytes, weights + weight.numel()
        after += sum(buffer.nbytes for buffer in packed.buffers())
    if not names:
        raise UserError(f"base_quantize: {type(network).__name__} has no linear layer that {kind} could pack")
    stacked = sum(p.nbytes for p in network.parameters() if p.ndim == 3)
    if not stacked:
        _leave_the_file(network)
    return Shrunk(kind, len(names), before, after, weights, stacked)


def _leave_the_file(network: nn.Module) -> None:
    """Weights lie in the mapped file that they were read from, and one of them keeps all of it in memory: copy the few
    that are left. With stacked experts, which are most of a file, nothing would be gained."""
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()


def _names(network: Any) -> Iterator[str]:
    """-> of the linear maps to pack: not of the head, not of what shares the embedding's weight, not of routers."""
    kept = [network.get_output_embeddings(), network.get_input_embeddings()]
    shared = {id(module.weight) for module in kept if module is not None}
    for name, module in network.named_modules():
        if is_dense(module) and id(module.weight) not in shared and not _routes(network, name):
            yield name


def _routes(network: nn.Module, name: str) -> bool:
    """Whether a linear map chooses among experts: by its name, or because it stands beside them."""
    *above, last = name.split(".")
    return bool(ROUTERS & {last, *above}) or hasattr(network.get_submodule(".".join(above)), "experts")


def _nearest(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 64) -> the place of each weight among the sixteen values, and (B,), the largest weight of each block.

    To the bit what bitsandbytes' `quantize_4bit` gives on a CPU, in a third of the time.
    """
    largest = blocks.abs().amax(1)
    scaled = blocks * (1 / largest.clamp_min(1e-38))[:, None]
    code = bitsandbytes().functional.get_4bit_type("nf4", "cpu")
    places = torch.zeros(scaled.shape, dtype=torch.uint8, device=blocks.device)
    for middle in ((code[:-1] + code[1:]) / 2).tolist():
        places += scaled > middle
    return places, largest


@cache
def _code(device: torch.device) -> Tensor:
    """-> the 256 values in which scales are kept, dense near zero (https://arxiv.org/abs/2110.02861)."""
    return bitsandbytes().functional.create_dynamic_map().to(device)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
