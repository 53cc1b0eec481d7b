"""Prefix tuning: learned keys and values before the text, in every attention layer (https://arxiv.org/abs/2101.00190).

attention(q, [P_k; K], [P_v; V])        P learned, all else frozen

They begin as the keys and values of real tokens, so that the untrained model reads some more words and no noise.
Format: PEFT's PREFIX_TUNING.

Shapes: N virtual tokens, L layers, K key/value heads, H width of a head.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.virtual import NAME, VirtualTokens
from tunesmith.methods.method import Given, MethodConfig
from tunesmith.methods.virtual import SPREAD, STORED, counted, first_tokens, hang, read, take_down


class Prefix(MethodConfig):
    """Learned keys and values before every text."""

    kind: Literal["prefix"] = "prefix"
    tokens: int = Field(16, ge=1, le=4096)
    """Virtual tokens. They take room from the context, and time of every answer."""
    text: str | None = None
    """Words whose keys and values they begin with. None: the beginning of the training rows."""

    @property
    def learning_rate(self) -> float:
        return 5e-3

    @property
    def reason(self) -> str:
        return "keys and values of real tokens are large beside a step of 2e-4; without a projection 5e-3 moves them"

    @property
    def starts_as_base(self) -> bool:
        return False

    @property
    def needs_data(self) -> bool:
        return True

    @property
    def reads_rows(self) -> bool:
        return self.text is None

    def attach(self, network: nn.Module) -> None:
        """Hang them below `network`, with random values until `prepare`."""
        hang(network, Prefixed(self.tokens, *shape_of(network), device=next(network.parameters()).device))

    def prepare(self, network: nn.Module, given: Given) -> None:
        text = given.encode(self.text) if self.text else first_tokens(given.examples, self.tokens)
        read = torch.tensor([first_tokens([text], self.tokens)])
        prefixed: Any = getattr(network, NAME)
        prefixed.begin(network, read)

    def detach(self, network: nn.Module) -> None:
        take_down(network)

    def cannot_merge(self, network: nn.Module) -> str | None:
        return "prefix tuning adds keys and values to every text, and no weight of a plain model can hold them"

    def merge(self, network: nn.Module) -> None:
        raise UserError(f"merge: {self.cannot_merge(network)}; use the adapter with its base")

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        prefixed: Any = getattr(network, NAME)
        return {STORED: prefixed.weight.view(prefixed.count, -1)}

    def described(self, network: nn.Module) -> dict[str, Any]:
        layers, heads, width = shape_of(network)
        return {
            "peft_type": "PREFIX_TUNING",
            "num_virtual_tokens": self.tokens,
            "num_layers": layers,
            "num_attention_heads": heads,
            "token_dim": heads * width,
            "num_transformer_submodules": 1,
            "encoder_hidden_size": heads * width,
            "prefix_projection": False,
        }

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "Prefix":
        """With a projection PEFT stores what it made: the file is the same."""
        return cls(tokens=counted(described))


class Prefixed(VirtualTokens):
    """The keys and values of all layers as one parameter."""

    def __init__(self, count: int, layers: int, heads: int, width: int, *, device: torch.device) -> None:
        super().__init__(count)
        self.weight = nn.Parameter(SPREAD * torch.randn(count, 2 * layers, heads, width, device=device))

    def keys_values(self) -> Tensor:
        return self.weight

    @torch.no_grad()
    def begin(self, network: Any, tokens: Tensor) -> None:
        """(1, N): take what `network` makes of real tokens."""
        self.active = False
        cache = read(network, tokens.to(self.weight.device))
        self.active = True
        for i, layer in enumerate(cache.layers):
            self.weight[:, 2 * i] = layer.keys[0].transpose(0, 1)
            self.weight[:, 2 * i + 1] = layer.values[0].transpose(0, 1)


def shape_of(network: nn.Module) -> tuple[int, int, int]:
    """-> layers, key/value heads, width of a head. Raises UserError for a family whose layers differ in them."""
    root: Any = network
    config = root.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if getattr(config, "num_kv_shared_layers", 0) or getattr(config, "num_global_key_value_heads", None):
        raise UserError(f"method.kind: prefix needs layers of one shape, and those of {config.model_type} differ")
    return config.num_hidden_layers, heads, width
