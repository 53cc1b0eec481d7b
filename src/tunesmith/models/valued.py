"""A language model with a value head: what reward is to be expected, said at each token before it is written.

v = w h + b, in float32, with the hidden state h that the output head reads. It starts at zero: nothing is expected.

Shapes: L labels, D width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.batch import IGNORED, TokenBatch
from tunesmith.core.errors import UserError
from tunesmith.models.head import label_logprobs
from tunesmith.models.language import CausalLM

VALUE_HEAD = ("value_head.weight", "value_head.bias")
"""What trains beside the network."""


class ValuedLM(CausalLM):
    """`CausalLM` whose `value_head` trains beside the network, and is no part of it."""

    def __init__(self, network: Any, *, recompute: bool = False) -> None:
        """Raises UserError for a family that cannot be packed, for its hidden states are not at hand."""
        super().__init__(network, recompute=recompute)
        if self.way == "padded":
            raise UserError(
                f"objective: ppo needs hidden states, and {network.config.model_type} cannot be packed here; "
                "take objective.kind=grpo"
            )
        embeddings = network.get_input_embeddings().weight
        width = network.get_output_embeddings().weight.shape[-1]
        self.value_head = nn.Linear(width, 1, device=embeddings.device, dtype=torch.float32)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def with_values(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """-> (L,), (L,): the log-probability of each label, and what is expected of the state before it."""
        labelled = (batch.labels != IGNORED).nonzero()[:, 0]
        hidden = self.hidden(batch, labelled)  # (L, D)
        head = self.network.get_output_embeddings()
        logprobs = label_logprobs(hidden, batch.labels[labelled], head, self.shape)
        return logprobs, self.value_head(hidden.float())[:, 0]
