"""LoRA over stacked weights: the experts of a mixture, many matrices in one parameter, and the router before them.

W'_e = W_e + s B_e A_e        W frozen, A random, B zero at the start, for each expert e

The module that owns the parameter runs its own code with W' in the place of W, so that no router, no order of experts
and no kernel is written here a second time. W' is summed in float32 and rounded once.
Format: PEFT's `target_parameters` (https://github.com/huggingface/peft), which keeps A and B of all experts as two
matrices: the rows of A run over the ranks of the first expert, then of the second; the columns of B run over the
experts of the first rank, then of the second.

Shapes: E experts, I inputs, O outputs, R rank.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from tunesmith.core.layers import is_linear_map
from tunesmith.methods.layer import Layer

View = tuple[str, torch.Size, tuple[int, ...], int]  # which stack; size, strides and offset in it
Pack = Callable[[Tensor], Tensor | View]
Unpack = Callable[[Tensor | View], Tensor]
INNER = ".base_layer"  # PEFT wraps a module once for each of its parameters, the first parameter innermost


def stacks(network: nn.Module) -> dict[str, nn.Parameter]:
    """-> name: what a module keeps without being a linear map, in the order of the tree.

    That is every stack of matrices (E, ., .), and the matrix with one row for each expert of a router beside it.
    """
    found: dict[str, nn.Parameter] = {}
    for parent, module in network.named_modules():
        above = parent + "." if parent else ""
        children = {above + name: dict(_own(child)) for name, child in module.named_children()}
        experts = {p.shape[0] for own in children.values() for p in own.values() if p.ndim == 3}
        for name, own in children.items():
            for short, p in own.items():
                if p.ndim == 3 or (short == "weight" and p.ndim == 2 and p.shape[0] in experts):
                    found[f"{name}.{short}"] = p
    return found


def _own(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """-> the parameters with plain numbers of a module that holds no other module with parameters."""
    if is_linear_map(module) or isinstance(module, nn.Embedding | _ConvNd):
        return
    own = list(module.named_parameters(recurse=False))
    if len(own) == len(list(module.named_parameters())):
        yield from ((name, p) for name, p in own if p.is_floating_point() and p.element_size() > 1)


def owner(name: str) -> str:
    """-> the name of the module that holds the parameter `name`."""
    return name.rpartition(".")[0]


class StackUpdate(nn.Module):
    """A and B for every expert of one stack (E, O, I), for (E, I, O) when `transposed`, or for one matrix (O, I)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float, *, scale: float, transposed: bool = False) -> None:
        super().__init__()
        *stack, rows, columns = weight.shape
        outer, inner = (columns, rows) if transposed else (rows, columns)
        self.experts = stack[0] if stack else 1
        self.down = nn.Parameter(torch.empty(self.experts * rank, inner, device=weight.device))  # A, (E * R, I)
        self.up = nn.Parameter(torch.zeros(outer, rank * self.experts, device=weight.device))  # B, (O, R * E)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.rank, self.alpha, self.scale, self.transposed = rank, alpha, scale, transposed

    def tensors(self) -> dict[str, Tensor]:
        """-> what a file holds, by the end of its name in PEFT's format."""
        return {"lora_A.weight": self.down, "lora_B.weight": self.up}

    def added_to(self, weight: Tensor, used: Tensor | None = None, strength: float = 1.0) -> Tensor:
        """-> W' in the shape and precision of `weight`; only the experts `used` (U,) have values, where it is given."""
        a = self.down.unflatten(0, (self.experts, self.rank))  # (E, R, I)
        b = self.up.unflatten(1, (self.rank, self.experts)).permute(2, 0, 1)  # (E, O, R)
        left, right = (a.mT, b.mT) if self.transposed else (b, a)
        if used is None or weight.ndim == 2:
            stack = weight.view(self.experts, *weight.shape[-2:])
            return self._sum(stack, left, right, strength).view(weight.shape)
        # Memory that nothing touches is not taken from the system: a token pays for its own experts alone.
        changed = torch.empty_like(weight)
        for place in used.tolist():
            e = slice(place, place + 1)
            changed[e] = self._sum(weight[e], left[e], right[e], strength)
        return changed

    def _sum(self, stack: Tensor, left: Tensor, right: Tensor, strength: float) -> Tensor:
        exact = stack.to(torch.promote_types(stack.dtype, left.dtype))
        return torch.baddbmm(exact, left, right, alpha=self.scale * strength).to(stack.dtype)


class StackLayer(Layer):
    """A frozen module and the updates of some of its own parameters."""

    def __init__(self, base: nn.Module, updates: Mapping[str, StackUpdate]) -> None:
        super().__init__(base)
        self.updates = nn.ModuleDict(dict(updates))

    def changed(self, used: Tensor | None = None) -> dict[str, Tensor]:
        """-> name: W' of every parameter that has an update, of the experts `used` alone where they are known."""
        return {
            own: update.added_to(getattr(self.root, own), used, self.strength) for own, update in self.by_name().items()
        }

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if not self.active:
            return self.base(*inputs, **named)
        if not torch.is_grad_enabled():
            return self._with(self.changed(_used(self.root, inputs, named)), inputs, named)
        changed = self.changed()
        with saved_tensors_hooks(*self._summed_again(changed)):
            return self._with(changed, inputs, named)

    def _with(self, changed: Mapping[str, Tensor], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The base with `changed` in the place of its own; a layer in between adds its update to that."""
        below, layer = "", self.base
        while isinstance(layer, Layer):
            below, layer = below + "base.", layer.base
        return functional_call(self.base, {below + own: weight for own, weight in changed.items()}, inputs, named)

    def _summed_again(self, changed: Mapping[str, Tensor]) -> tuple[Pack, Unpack]:
        """What backward needs of W' is summed again there: kept, it would hold all experts of all layers twice."""
        places = {weight.untyped_storage().data_ptr(): own for own, weight in changed.items()}

        def pack(saved: Tensor) -> Tensor | View:
            own = places.get(saved.untyped_storage().data_ptr())
            return saved if own is None else (own, saved.size(), saved.stride(), int(saved.storage_offset()))

        def unpack(kept: Tensor | View) -> Tensor:
            if isinstance(kept, Tensor):
                return kept
            own, size, stride, offset = kept
            with torch.no_grad():
                weight = self.by_name()[own].added_to(getattr(self.root, own), strength=self.strength)
                return weight.as_strided(size, stride, offset)

        return pack, unpack

    def merged(self) -> nn.Module:
        """The base module with every update added in float32 and rounded once."""
        with torch.no_grad():
            for own, weight in self.changed().items():
                self.base.get_parameter(own).copy_(weight)
        return self.base

    def by_name(self) -> dict[str, StackUpdate]:
        """-> the updates, in the order in which the base has the parameters."""
        own = [name for name, _ in self.root.named_parameters(recurse=False) if name in self.updates]
        return {name: cast(StackUpdate, self.updates[name]) for name in own}


def _used(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    """-> the experts (U,) that a call asks for, where transformers' `top_k_index` says it."""
    index = signature(module.forward).bind(*inputs, **named).arguments.get("top_k_index")
    return index.unique() if isinstance(index, Tensor) else None


def is_transposed_stack(network: nn.Module, name: str) -> bool:
    """Whether the stack `name` lies as (E, I, O): its module says so."""
    weight = network.get_parameter(name)
    return weight.ndim == 3 and bool(getattr(network.get_submodule(owner(name)), "is_transposed", False))


def wrap_stacks(network: nn.Module, updates: Mapping[str, StackUpdate]) -> None:
    """Put each update over the parameter of its name; `network` is frozen already."""
    modules: dict[str, dict[str, StackUpdate]] = {}
    for name, update in updates.items():
        modules.setdefault(owner(name), {})[name.rpartition(".")[2]] = update
    for name, own in modules.items():
        network.set_submodule(name, StackLayer(network.get_submodule(name), own))


def stored_names(name: str, layer: StackLayer) -> dict[str, StackUpdate]:
    """-> PEFT's name below which the A and B of each update are stored: update."""
    updates = list(layer.by_name().values())
    return {name + INNER * (len(updates) - 1 - place): update for place, update in enumerate(updates)}
