"""Virtual tokens: what stands before every text, learned instead of written. The face that models and methods share.

Either embeddings that pass through the model like those of tokens, or keys and values for each attention layer.

Shapes: B rows, N virtual tokens, D width of the model; L layers, K key/value heads, H width of a head.
"""

from typing import Any

from torch import Tensor, nn

NAME = "virtual_tokens"  # of the child of the network


class VirtualTokens(nn.Module):
    """Hangs below the network as `virtual_tokens`; listens to `active`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.active = True
        self.rows: Tensor | None = None  # (B,) which rows of a mixed batch have them; None: all of them
        self.hooks: list[Any] = []  # of the network that they hang below

    def embeddings(self) -> Tensor | None:
        """-> (N, D), or (B, N, D) for a mixed batch; None when they are keys and values."""
        return None

    def keys_values(self) -> Tensor | None:
        """-> (N, 2 L, K, H), for each layer its keys and then its values, or None when they are embeddings.

        (B, N, 2 L, K, H) for a mixed batch.
        """
        return None


def virtual_of(network: Any) -> VirtualTokens | None:
    """-> the virtual tokens of a network, when it has some and they are switched on."""
    found = getattr(network, NAME, None)
    return found if isinstance(found, VirtualTokens) and found.active else None
