"""Attention of a U-Net: everything sees everything; in bfloat16 on a CPU with a backward pass of batched products.

softmax(Q K' / sqrt(D)) V
P = exp(s Q K' - L)    dS = P (dO V' - delta)    dQ = s dS K    dK = dS' s Q    dV = P' dO

torch's flash attention is the forward pass, and gives L, the log of the sum. Its own backward pass takes three to eight
times as long as these products on the short sequences of small latents, and as long on long ones.

Shapes: B pictures, H heads, S queries, T keys, D width of a head; n = B H.
"""

from typing import Any

import torch
from torch import Tensor

from tunesmith.models.attention import BLOCK, product_less
from tunesmith.models.diffusion.library import diffusers


class WholeAttention(torch.autograd.Function):
    """The plain twin is `torch.nn.functional.scaled_dot_product_attention`."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, S, D), (B, H, T, D), (B, H, T, D) -> (B, H, S, D)"""
        out, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
        ctx.save_for_backward(q, k, v, out, log_sum)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shapes, scale = [x.shape for x in ctx.saved_tensors[:3]], ctx.saved_tensors[0].shape[-1] ** -0.5
        q, k, v, out, dout = (x.flatten(0, 1) for x in (*ctx.saved_tensors[:4], grads[0]))  # (n, ., D)
        log_sum = ctx.saved_tensors[4].flatten(0, 1)[..., None]  # (n, S, 1)
        delta = (dout * out).sum(-1, keepdim=True, dtype=torch.float32)
        q = q * scale
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for start in range(0, q.shape[1], BLOCK):
            rows = slice(start, start + BLOCK)
            p = product_less(q[:, rows], k, log_sum[:, rows]).exp_()
            ds = product_less(dout[:, rows], v, delta[:, rows]).mul_(p)
            dv.baddbmm_(p.transpose(1, 2), dout[:, rows])
            dk.baddbmm_(ds.transpose(1, 2), q[:, rows])
            dq[:, rows] = torch.bmm(ds, k)
        return dq.mul_(scale).view(shapes[0]), dk.view(shapes[1]), dv.view(shapes[2])


class QuickLook:
    """What an attention layer of diffusers asks for its answer: as its own processor, but for the backward pass."""

    def __init__(self) -> None:
        self._plain: Any = diffusers().models.attention_processor.AttnProcessor2_0()

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        """(B, S, C), (B, T, E) -> (B, S, C)"""
        if more or attention_mask is not None or not _quick(hidden_states) or not _usual(attn):
            return self._plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **more)
        told = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        asked = ((attn.to_q, hidden_states), (attn.to_k, told), (attn.to_v, told))
        q, k, v = (layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for layer, x in asked)
        seen = WholeAttention.apply(q, k, v).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](seen))


def _quick(x: Tensor) -> bool:
    """Whether these products are the quicker way: in float32 torch's own backward pass is as quick, or quicker."""
    return x.ndim == 3 and x.dtype == torch.bfloat16 and x.device.type == "cpu" and torch.is_grad_enabled()


def _usual(attn: Any) -> bool:
    """Whether a layer is no more than four maps and what they ask."""
    others = (attn.spatial_norm, attn.group_norm, attn.norm_cross, attn.norm_q, attn.norm_k)
    return not any(others) and not attn.residual_connection and attn.rescale_output_factor == 1
