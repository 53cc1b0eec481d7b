"""A packed network and its twin, which holds in full what the packed one unpacks to."""

from typing import Any

import torch
from torch import nn

from tests.families import tiny
from tunesmith.core.layers import Quantization
from tunesmith.methods.inject import linear_maps
from tunesmith.models.quantized import QuantizedLinear, quantize


def packed_tiny(family: str, kind: Quantization, dtype: torch.dtype = torch.float32) -> Any:
    network = tiny(family, dtype=dtype)
    quantize(network, kind)
    return network


def twin_of_packed(family: str, kind: Quantization) -> Any:
    """`packed_tiny` with each packed layer as a plain one that holds what the packed one unpacks to."""
    network = packed_tiny(family, kind)
    for name, layer in linear_maps(network).items():
        if isinstance(layer, QuantizedLinear):
            plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
            plain.weight = nn.Parameter(layer.dense_weight(torch.float32))
            plain.bias = layer.bias
            network.set_submodule(name, plain)
    return network
