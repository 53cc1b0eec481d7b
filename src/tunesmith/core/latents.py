"""Noisy pictures for a denoiser: what it sees, what it must say, and how much each picture counts.

Shapes: B pictures, C channels, H and W of a latent, S tokens of a prompt, D their width, P width of a pooled prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.core.batch import Batch


@dataclass(frozen=True, slots=True)
class Prompts:
    """What the denoiser is told: token ids by the name of the encoder, or what frozen encoders made of them."""

    ids: Mapping[str, Tensor]  # (B, S) for each encoder that learns; empty where all are frozen
    context: Tensor | None = None  # (B, S, D)
    pooled: Tensor | None = None  # (B, P)
    sizes: Tensor | None = None  # (B, 6): original size, corner of the crop, size wanted, of families that ask for it

    def part(self, start: int, stop: int) -> "Prompts":
        own = {name: ids[start:stop] for name, ids in self.ids.items()}
        rest = (None if x is None else x[start:stop] for x in (self.context, self.pooled, self.sizes))
        return Prompts(own, *rest)

    def to(self, device: torch.device) -> "Prompts":
        own = {name: ids.to(device, non_blocking=True) for name, ids in self.ids.items()}
        return Prompts(own, *(None if x is None else x.to(device) for x in (self.context, self.pooled, self.sizes)))


@dataclass(frozen=True, slots=True)
class LatentBatch(Batch):
    """Pictures of one shape, in the space of the autoencoder, with noise on them."""

    noisy: Tensor  # (B, C, H, W), float32
    times: Tensor  # (B,), the step of the schedule; for flows its noise level times 1000
    targets: Tensor  # (B, C, H, W)
    weights: Tensor  # (B,)
    masks: Tensor | None  # (B, 1, H, W), mean 1 over each picture
    prompts: Prompts
    counted: tuple[bool, ...]  # B times: whether it is a unit of the loss; pictures of the prior are not
    source: tuple[int, ...]  # B row numbers

    @property
    def units(self) -> int:
        return sum(self.counted)

    @property
    def size(self) -> int:
        """In places of a latent, which are the tokens of a denoiser."""
        return len(self.noisy) * self.noisy.shape[2] * self.noisy.shape[3]

    @property
    def rows(self) -> tuple[int, ...]:
        return self.source

    def halves(self) -> tuple["LatentBatch", "LatentBatch"] | None:
        if len(self.source) < 2:
            return None
        middle = len(self.source) // 2
        return self.part(0, middle), self.part(middle, len(self.source))

    def part(self, start: int, stop: int) -> "LatentBatch":
        return LatentBatch(
            self.noisy[start:stop],
            self.times[start:stop],
            self.targets[start:stop],
            self.weights[start:stop],
            None if self.masks is None else self.masks[start:stop],
            self.prompts.part(start, stop),
            self.counted[start:stop],
            self.source[start:stop],
        )

    def to(self, device: torch.device) -> "LatentBatch":
        return LatentBatch(
            self.noisy.to(device),
            self.times.to(device),
            self.targets.to(device),
            self.weights.to(device),
            None if self.masks is None else self.masks.to(device),
            self.prompts.to(device),
            self.counted,
            self.source,
        )


def stacked(batches: Sequence[LatentBatch]) -> LatentBatch:
    """-> one batch of pictures of the same shape."""
    told = [batch.prompts for batch in batches]
    prompts = Prompts(
        {name: torch.cat([one.ids[name] for one in told]) for name in told[0].ids},
        _joined([one.context for one in told]),
        _joined([one.pooled for one in told]),
        _joined([one.sizes for one in told]),
    )
    return LatentBatch(
        torch.cat([batch.noisy for batch in batches]),
        torch.cat([batch.times for batch in batches]),
        torch.cat([batch.targets for batch in batches]),
        torch.cat([batch.weights for batch in batches]),
        _joined([batch.masks for batch in batches]),
        prompts,
        tuple(one for batch in batches for one in batch.counted),
        tuple(row for batch in batches for row in batch.source),
    )


def squared_errors(said: Tensor, wanted: Tensor) -> Tensor:
    """(B, C, H, W) twice -> (B,), the mean over the places of each picture."""
    return ((said - wanted) ** 2).mean((1, 2, 3))


def _joined(values: Sequence[Tensor | None]) -> Tensor | None:
    some = [value for value in values if value is not None]
    return torch.cat(some) if some else None
