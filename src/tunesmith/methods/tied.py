"""Two modules that share one weight: the embedding and the output head of many small models."""

from typing import Any

from torch import nn


def untie(network: nn.Module, layer: nn.Module) -> bool:
    """Give `layer` a weight of its own when another module of `network` holds the same one. -> whether it did.

    The configuration says so from then on: transformers would tie the two again when the file is read.
    """
    holders = [module for module in network.modules() if module._parameters.get("weight") is layer.weight]
    if len(holders) < 2:
        return False
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    root: Any = network
    if hasattr(root, "config"):
        root.config.tie_word_embeddings = False
    if hasattr(root, "all_tied_weights_keys"):
        root.all_tied_weights_keys = {}
    return True
