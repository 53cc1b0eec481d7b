"""Find modules of a finished tree by name, replace them, and take the replacements out again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from torch import nn

from tunesmith.core.errors import UserError, near
from tunesmith.core.headed import outside_head
from tunesmith.core.layers import LinearMap, is_linear_map
from tunesmith.methods.experts import owner, stacks

Value = TypeVar("Value")
Found = TypeVar("Found", bound=nn.Module | nn.Parameter)
Targets = str | tuple[str, ...]
ALL_LINEAR = "all-linear"
TABLES = (nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""What is adapted only when a pattern names it."""


def matches(name: str, pattern: str) -> bool:
    """A pattern is the end of a dotted name (`q_proj`, `layers.3.mlp.up_proj`), wildcards or not (`layers.3.mlp.*`)."""
    if any(c in pattern for c in "*?["):
        return fnmatchcase(name, pattern) or fnmatchcase(name, "*." + pattern)
    return name == pattern or name.endswith("." + pattern)


def by_pattern(name: str, table: Mapping[str, Value], default: Value) -> Value:
    """The value of the last pattern in `table` that matches `name`."""
    found = default
    for pattern, value in table.items():
        if matches(name, pattern):
            found = value
    return found


def find_targets(network: nn.Module, targets: Targets) -> dict[str, nn.Module | nn.Parameter]:
    """-> name: linear map, or name: stacked weight; a pattern that means a module means the stacks in it too.

    A pattern may also name an embedding or a convolution. Raises UserError when it matches none of all these.
    """
    known: dict[str, nn.Module | nn.Parameter] = {**linear_maps(network), **stacks(network)}
    if targets == ALL_LINEAR:
        return _adapted(network, known)
    known |= {name: module for name, module in outside_head(network) if isinstance(module, TABLES)}
    return choose(network, known, targets, "method.targets")


def find_linear(network: nn.Module, targets: Targets, key: str = "method.targets") -> dict[str, nn.Module]:
    """-> name: linear map, and nothing else. Raises UserError for a pattern of the setting `key` that matches none."""
    known = linear_maps(network)
    if targets == ALL_LINEAR:
        return _adapted(network, known)
    return choose(network, known, targets, key)


def _adapted(network: nn.Module, known: Mapping[str, Found]) -> dict[str, Found]:
    """-> what `all-linear` means: all but the head, or what the network itself says."""
    own = getattr(network, "all_linear", None)
    if callable(own):
        return {name: found for name, found in known.items() if any(matches(name, pattern) for pattern in own())}
    head = _output_head(network)
    return {name: found for name, found in known.items() if found is not head}


def linear_maps(network: nn.Module) -> dict[str, nn.Module]:
    """-> name: linear map, in the order of the tree. Those of a head train beside any method, and are not adapted."""
    return {name: module for name, module in outside_head(network) if is_linear_map(module)}


def packed_maps(network: nn.Module) -> dict[str, LinearMap]:
    """-> name: linear map whose weight is no parameter."""
    return {name: layer for name, layer in linear_maps(network).items() if isinstance(layer, LinearMap)}


def choose(network: nn.Module, known: Mapping[str, Found], targets: Targets, key: str) -> dict[str, Found]:
    """-> those of `known` that the patterns of the setting `key` name. Raises UserError for one that names none."""
    patterns = (targets,) if isinstance(targets, str) else targets
    for pattern in patterns:
        if not any(_means(name, found, pattern) for name, found in known.items()):
            raise UserError(_no_match(pattern, network, known, key))
    return {name: found for name, found in known.items() if any(_means(name, found, p) for p in patterns)}


def _means(name: str, found: nn.Module | nn.Parameter, pattern: str) -> bool:
    return matches(name, pattern) or (isinstance(found, nn.Parameter) and matches(owner(name), pattern))


def refuse_unmatched(patterns: Mapping[str, Value], names: Iterable[str], key: str) -> None:
    """A per-pattern setting that reaches no target would be ignored in silence: refuse it."""
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            ends = {name.rsplit(".", 1)[-1] for name in names}
            raise UserError(f"{key}: `{pattern}` matches none of the targets{near(pattern, ends)}")


def wrap(network: nn.Module, found: Mapping[str, nn.Module], wrapper: Callable[[str, nn.Module], nn.Module]) -> None:
    """Freeze `network` and put `wrapper(name, module)` in the place of each module of `found`.

    All are made before the first is put in: a wrapper that raises leaves the tree as it was.
    """
    made = {name: wrapper(name, module) for name, module in found.items()}
    network.requires_grad_(False)
    for name, module in made.items():
        network.set_submodule(name, module)


Kind = TypeVar("Kind", bound=nn.Module)


def wrapped(network: nn.Module, kind: type[Kind]) -> Iterator[tuple[str, Kind]]:
    """-> the replacements of type `kind` that `network` holds now."""
    for name, module in list(network.named_modules()):
        if isinstance(module, kind):
            yield name, module


def _output_head(network: nn.Module) -> nn.Module | None:
    getter = getattr(network, "get_output_embeddings", None)
    return getter() if callable(getter) else None


def _no_match(pattern: str, network: nn.Module, known: Iterable[str], key: str) -> str:
    others = [name for name, _ in network.named_modules() if name and matches(name, pattern)]
    if others:
        kind = type(network.get_submodule(others[0])).__name__
        return f"{key}: `{pattern}` matches {others[0]}, which is a {kind} and no layer that can be adapted"
    ends = dict.fromkeys(name.removesuffix(".weight").rsplit(".", 1)[-1] for name in known)
    return f"{key}: `{pattern}` matches no layer{near(pattern, ends)}; linear layers here: {', '.join(ends)}"


def parameter_counts(network: nn.Module) -> tuple[int, int]:
    """-> how many numbers train, and how many there are; a shared weight counts once, a packed one as what it holds."""
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    packed = sum(m.in_features * m.out_features for m in packed_maps(network).values())
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes) + packed
