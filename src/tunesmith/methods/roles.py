"""Which part of a transformer a module is, by the end of its name: one table for the methods that choose by role."""

from collections.abc import Iterable

from torch import nn

from tunesmith.methods.experts import owner, stacks
from tunesmith.methods.inject import linear_maps, matches

KEYS_VALUES = ("k_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value", "self.key", "self.value", "k_lin", "v_lin",
               "to_k", "to_v")  # fmt: skip
"""Linear maps that make keys and values; where one map makes the queries too, it counts."""
ATTENTION_OUTPUT = ("o_proj", "out_proj", "attn.c_proj", "attention.dense", "self_attn.dense", "self_attention.dense",
                    "attention.output.dense", "out_lin")  # fmt: skip
FEED_FORWARD_OUTPUT = ("down_proj", "mlp.c_proj", "dense_4h_to_h", "fc2", "*[0-9].output.dense", "ffn.lin2", "ff.net.2")


def in_role(network: nn.Module, ends: Iterable[str]) -> dict[str, nn.Module]:
    """-> name: linear map, whose name has one of these ends."""
    return {name: module for name, module in linear_maps(network).items() if any(matches(name, end) for end in ends)}


def mixtures(network: nn.Module) -> dict[str, nn.Module]:
    """-> name: module that chooses among stacked experts."""
    names = {owner(owner(name)) for name in stacks(network)}
    return {name: module for name, module in network.named_modules() if name in names}


def feed_forward_ends(network: nn.Module) -> dict[str, nn.Module]:
    """-> name: what makes the output of a feed-forward part: its last linear map, or a mixture as a whole."""
    mixed = mixtures(network)
    inside = tuple(name + "." for name in mixed)
    maps = {n: m for n, m in in_role(network, FEED_FORWARD_OUTPUT).items() if not n.startswith(inside)}
    return _in_order(network, [*maps, *mixed])


def feed_forwards(network: nn.Module) -> dict[str, nn.Module]:
    """-> name: a feed-forward part as a whole, where it is a module of its own."""
    mixed = mixtures(network)
    around = {owner(name) for name in feed_forward_ends(network) if name not in mixed}
    # GPT-NeoX's layers hold it without a module around it, and BERT's takes two inputs.
    whole = [name for name in around if not (end := name.rpartition(".")[2]).isdigit() and end != "output"]
    return _in_order(network, [*mixed, *whole])


def _in_order(network: nn.Module, names: list[str]) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if name in set(names)}
