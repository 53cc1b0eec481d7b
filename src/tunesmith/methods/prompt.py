"""Prompt tuning and p-tuning: learned embeddings before the text.

prompt     the embeddings themselves                               https://arxiv.org/abs/2104.08691
ptuning    what a small network makes of embeddings, then kept     https://arxiv.org/abs/2103.10385

Format: PEFT's PROMPT_TUNING and P_TUNING, which store the embeddings alone.

Shapes: N virtual tokens, D width of the model, H width of the small network.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.virtual import NAME, VirtualTokens
from tunesmith.methods.method import Given, MethodConfig
from tunesmith.methods.virtual import SPREAD, STORED, counted, first_tokens, hang, take_down


class _Soft(MethodConfig):
    """What prompt tuning and p-tuning have in common."""

    @property
    def starts_as_base(self) -> bool:
        return False

    def detach(self, network: nn.Module) -> None:
        take_down(network)

    def cannot_merge(self, network: nn.Module) -> str | None:
        return "a soft prompt is read before every text, and no weight of a plain model can hold it"

    def merge(self, network: nn.Module) -> None:
        raise UserError(f"merge: {self.cannot_merge(network)}; use the adapter with its base")

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        return {STORED: _hung(network).embeddings()}

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "Prompt":
        return Prompt(tokens=counted(described))


class Prompt(_Soft):
    """Learned embeddings before every text."""

    kind: Literal["prompt"] = "prompt"
    tokens: int = Field(16, ge=1, le=4096)
    """Virtual tokens. They take room from the context, and time of every answer."""
    text: str | None = None
    """Words whose embeddings they begin with. None: the beginning of the training rows."""

    @property
    def learning_rate(self) -> float:
        return 1e-2

    @property
    def reason(self) -> str:
        return "so few numbers need long steps: 1e-3 to 3e-1 are in use, and 1e-2 is between them"

    @property
    def needs_data(self) -> bool:
        return True

    @property
    def reads_rows(self) -> bool:
        return self.text is None

    def attach(self, network: nn.Module) -> None:
        """Hang them below `network`, with random values until `prepare`."""
        hang(network, SoftPrompt(self.tokens, *_table(network)))

    def prepare(self, network: nn.Module, given: Given) -> None:
        text = given.encode(self.text) if self.text else first_tokens(given.examples, self.tokens)
        ids = torch.tensor(first_tokens([text], self.tokens))
        root, hung = _root(network), _hung(network)
        with torch.no_grad():
            embed = root.get_input_embeddings()
            hung.weight.copy_(embed(ids.to(hung.weight.device)))

    def described(self, network: nn.Module) -> dict[str, Any]:
        return _described(network, self.tokens) | {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "RANDOM"}


class PTuning(_Soft):
    """Embeddings that a small network makes, so that they learn together."""

    kind: Literal["ptuning"] = "ptuning"
    tokens: int = Field(16, ge=1, le=4096)
    """Virtual tokens. They take room from the context, and time of every answer."""
    hidden: int = Field(128, ge=1, le=1 << 16)
    """Width of the small network. It is thrown away after training."""
    encoder: Literal["mlp", "lstm"] = "mlp"
    """mlp: three linear layers. lstm: one that reads the prompt in both directions, and two linear layers."""

    @property
    def learning_rate(self) -> float:
        return 1e-2

    @property
    def reason(self) -> str:
        return "as prompt tuning: of 1e-3, 3e-3 and 1e-2 it learned fastest in trials of 4 and of 12 steps"

    def attach(self, network: nn.Module) -> None:
        hang(network, EncodedPrompt(self.tokens, *_table(network), hidden=self.hidden, encoder=self.encoder))

    def described(self, network: nn.Module) -> dict[str, Any]:
        kinds = {"mlp": "MLP", "lstm": "LSTM"}
        return _described(network, self.tokens) | {
            "peft_type": "P_TUNING",
            "encoder_reparameterization_type": kinds[self.encoder],
            "encoder_hidden_size": self.hidden,
        }


class SoftPrompt(VirtualTokens):
    """The embeddings themselves."""

    def __init__(self, count: int, width: int, device: torch.device) -> None:
        super().__init__(count)
        self.weight = nn.Parameter(SPREAD * torch.randn(count, width, device=device))

    def embeddings(self) -> Tensor:
        return self.weight


class EncodedPrompt(VirtualTokens):
    """Embeddings and the network that they go through. A file holds what comes out."""

    def __init__(self, count: int, width: int, device: torch.device, *, hidden: int, encoder: str) -> None:
        super().__init__(count)
        self.before = nn.Parameter(torch.randn(count, width, device=device))
        both = encoder == "lstm"
        self.lstm = nn.LSTM(width, hidden, num_layers=2, bidirectional=True, device=device) if both else None
        inner = 2 * hidden if both else hidden
        first: list[nn.Module] = [] if both else [nn.Linear(width, hidden), nn.ReLU()]
        self.linear = nn.Sequential(*first, nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, width)).to(device)

    def embeddings(self) -> Tensor:
        return self.linear(self.before if self.lstm is None else self.lstm(self.before)[0])


def _described(network: nn.Module, tokens: int) -> dict[str, Any]:
    config = _root(network).config.get_text_config()
    return {
        "num_virtual_tokens": tokens,
        "token_dim": _table(network)[0],
        "num_transformer_submodules": 1,
        "num_attention_heads": config.num_attention_heads,
        "num_layers": config.num_hidden_layers,
    }


def _table(network: nn.Module) -> tuple[int, torch.device]:
    weight = _root(network).get_input_embeddings().weight
    return weight.shape[1], weight.device


def _hung(network: nn.Module) -> Any:
    return getattr(network, NAME)


def _root(network: nn.Module) -> Any:
    return network
