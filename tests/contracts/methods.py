"""The methods of the contract: every name that people know one by, ready to be attached to a tiny network."""

from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from tests.families import FAMILIES, VOCABULARY, tiny
from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.methods import METHODS, PEFT_TYPES, AnyMethod
from tunesmith.methods.method import Given, MethodConfig
from tunesmith.methods.names import PRESETS
from tunesmith.models.language import CausalLM

CHANGING = {kind for kind, method in METHODS.items() if not method.bare}
"""Kinds that change a network; the others leave that to an objective, and have no contract with a network."""
NAMES = [name for name, preset in PRESETS.items() if set(preset) == {"method"} and preset["method"]["kind"] in CHANGING]
"""What is a method and nothing else: `qlora` is a base as well."""

SETTINGS_OF_LORA = ("rslora", "loraplus", "pissa", "eva")
FEW = ("llama", "gpt2", "mixtral")
PAIRS = [(name, family) for name in NAMES for family in (FEW if name in SETTINGS_OF_LORA else FAMILIES)]
"""Name and family. What differs from LoRA in its first values alone is tried on a few families."""


def made(name: str) -> MethodConfig:
    method: MethodConfig = TypeAdapter(AnyMethod).validate_python(PRESETS[name]["method"])
    return method


def texts() -> list[list[int]]:
    draw = torch.Generator().manual_seed(4)
    return [torch.randint(VOCABULARY, (n,), generator=draw).tolist() for n in (9, 14, 5)]


def batch() -> TokenBatch:
    return pack([Example(text, [True] * len(text), row) for row, text in enumerate(texts())])


def attached(name: str, family: str, dtype: torch.dtype = torch.float32) -> tuple[MethodConfig, Any]:
    """-> the method and a network that it is attached to, with its first values."""
    return attached_to(tiny(family, dtype=dtype), name)


def attached_to(network: Any, name: str) -> tuple[MethodConfig, Any]:
    method = made(name)
    torch.manual_seed(3)
    method.attach(network)
    network.eval()
    if method.needs_data:
        method.prepare(network, given(network))
    return method, network


def given(network: nn.Module) -> Given:
    def feed() -> None:
        with torch.no_grad():
            CausalLM(network).eval()(batch())

    return Given(texts(), lambda text: [len(word) for word in text.split()], feed)


def reader(method: MethodConfig, network: nn.Module, family: str) -> tuple[MethodConfig, Any]:
    """-> the method that reads what `method` stores, attached to another network of the family."""
    again = tiny(family)
    described = method.described(network)
    other = method if not described else PEFT_TYPES[described["peft_type"]].from_peft(described, again)
    other.attach(again)
    return other, again.eval()
