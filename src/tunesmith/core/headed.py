"""A network that ends in scores instead of words: the mark that `models` leaves on it, for methods and files to see."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

NAME = "tunesmith_head"  # the attribute of the network
Problem = Literal["single_label_classification", "regression"]
"""transformers' words for what the numbers mean; a reward is a regression of one number."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a standardised number is in the unit of the user: mean + deviation * number."""

    mean: float = 0.0
    deviation: float = 1.0


@dataclass(frozen=True, slots=True)
class Head:
    """What the last layer tells, and where its first values come from."""

    labels: tuple[str, ...]  # the names of the numbers, in their order
    problem: Problem = "single_label_classification"
    seed: int = 0
    scale: Scale = Scale()


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of the head of a network."""

    head: Head
    modules: tuple[str, ...]  # the names of the modules that are no part of the pretrained base
    encoder: bool  # reads both ways, and answers from the first token of a text
    fresh: bool = True  # new and random, not what the base came with


def mark_of(network: nn.Module) -> Mark | None:
    """-> what the network's head is, or None: it writes text."""
    found: Any = getattr(network, NAME, None)
    return found if isinstance(found, Mark) else None


def head_modules(network: nn.Module) -> tuple[str, ...]:
    """-> the names of the modules that train beside any method; none where the network writes text."""
    mark = mark_of(network)
    return mark.modules if mark else ()


def outside_head(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """-> the modules of the tree that belong to the pretrained base."""
    heads = head_modules(network)
    for name, module in network.named_modules():
        if not any(name == head or name.startswith(head + ".") for head in heads):
            yield name, module
