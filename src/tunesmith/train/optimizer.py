"""AdamW over named parameters, with float32 copies of those that train in half precision.

Loshchilov and Hutter, Decoupled weight decay regularization (2019), https://arxiv.org/abs/1711.05101
A bfloat16 weight has 8 bits: an update smaller than 1/256 of it would be rounded away, so the sum is kept in float32
(Micikevicius et al., Mixed precision training, 2018, https://arxiv.org/abs/1710.03740).
In 8 bits: the moments by blocks of 256, in a table that is dense near zero; those of tensors of fewer than 4096 numbers
stay in float32 (Dettmers et al., 8-bit optimizers via block-wise quantization, 2022, https://arxiv.org/abs/2110.02861).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.kernels import bitsandbytes
from tunesmith.core.protocols import State
from tunesmith.train.config import OptimizerKind

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_MOMENTS_8BIT = ("state1", "state2", "absmax1", "absmax2", "step")  # a small tensor has no absmax
_HALF = (torch.bfloat16, torch.float16)


class Optimizer:
    """What changes the weights. Its state is flat and named by parameter: `exp_avg/NAME`, `master/NAME`, ..."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        weight_decay: float,
        betas: tuple[float, float],
        rates: Mapping[str, float] | None = None,
        kind: OptimizerKind = "adamw",
    ) -> None:
        """`rates`: how many times the learning rate a parameter gets; 1 for those that are not named."""
        assert parameters, "nothing to train"
        assert not set(rates or ()) - set(parameters), "a rate of nothing"
        self._network = dict(parameters)
        self._masters = {name: p.detach().float() for name, p in parameters.items() if p.dtype in _HALF}
        self._trained: dict[str, Tensor] = {**self._network, **self._masters}
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, p in self._trained.items():
            decay = weight_decay if p.ndim >= 2 else 0.0
            groups.setdefault((decay, (rates or {}).get(name, 1.0)), []).append(p)
        listed = [{"params": p, "weight_decay": decay, "times": times} for (decay, times), p in groups.items()]
        self._kinds = _MOMENTS if kind == "adamw" else _MOMENTS_8BIT
        self._adamw = _adamw(kind, listed, betas)

    def collect(self) -> None:
        """Take over the gradients of half-precision parameters, so that they add up in float32."""
        for name, master in self._masters.items():
            parameter = self._network[name]
            if parameter.grad is not None:
                gradient = parameter.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                parameter.grad = None

    def gradients(self) -> dict[str, Tensor]:
        """-> what `step` will use, by name; a parameter that no loss depends on is absent."""
        return {name: p.grad for name, p in self._trained.items() if p.grad is not None}

    def trained(self) -> list[Tensor]:
        """-> the tensors that hold those gradients."""
        return list(self._trained.values())

    def values(self) -> dict[str, Tensor]:
        """-> what is trained, by name, in the precision in which it is kept. The tensors are the live ones."""
        return dict(self._trained)

    def give(self, gradients: Mapping[str, Tensor]) -> None:
        """Let `step` use these, by name and float32, and nothing else."""
        assert set(gradients) == set(self._trained)
        for name, p in self._trained.items():
            p.grad = gradients[name]

    def zeros(self) -> dict[str, Tensor]:
        """-> a place for the sum of gradients of everything that trains, by name."""
        return {name: torch.zeros_like(p) for name, p in self._trained.items()}

    def step(self, rate: float) -> None:
        """Change the weights once."""
        for group in self._adamw.param_groups:
            group["lr"] = rate * group["times"]
        self._adamw.step()
        with torch.no_grad():
            for name, master in self._masters.items():
                self._network[name].copy_(master)

    def clear(self) -> None:
        """Forget all gradients, collected or not."""
        for parameter in (*self._network.values(), *self._masters.values()):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """-> all that the next step depends on beside the weights. The tensors are the live ones, not copies."""
        moments = {
            f"{kind}/{name}": value
            for name, p in self._trained.items()
            if p in self._adamw.state
            for kind, value in self._moments(p).items()
        }
        return moments | {f"master/{name}": master for name, master in self._masters.items()}

    def load(self, state: State) -> None:
        """Go on from what `state` returned, in this process or an earlier one."""
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(state[f"master/{name}"])
        for name, p in self._trained.items():
            if f"step/{name}" in state:
                self._put(p, {kind: state[key] for kind in self._kinds if (key := f"{kind}/{name}") in state})

    def _moments(self, p: Tensor) -> dict[str, Tensor]:
        own = self._adamw.state[p]
        return {kind: torch.as_tensor(own[kind]) for kind in self._kinds if kind in own}

    def _put(self, p: Tensor, moments: Mapping[str, Tensor]) -> None:
        if self._kinds is _MOMENTS:
            self._adamw.state[p] = {kind: value.clone().to(p.device) for kind, value in moments.items()}
            return
        self._adamw.init_state(self._adamw.param_groups[0], p, 0, 0)  # tables, and memory that may be paged
        own = self._adamw.state[p]
        for kind, value in moments.items():
            own[kind] = int(value) if kind == "step" else own[kind].copy_(value)


def refuse_optimizer(kind: OptimizerKind, device: torch.device) -> None:
    """UserError when `device` cannot run it."""
    if kind == "paged_adamw8bit" and device.type != "cuda":
        raise UserError("train.optimizer: paged_adamw8bit needs a GPU, and there is none here; take adamw8bit")


def _adamw(kind: OptimizerKind, groups: Sequence[dict[str, Any]], betas: tuple[float, float]) -> Any:
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)
    library = bitsandbytes().optim
    return (library.AdamW8bit if kind == "adamw8bit" else library.PagedAdamW8bit)(groups, lr=0.0, betas=betas)
