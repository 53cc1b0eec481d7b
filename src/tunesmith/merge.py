"""Base and adapter become one plain model, which is read back and compared before anyone hears that it is done.

Shapes: T tokens, V vocabulary; of a network that ends in scores R rows and C scores.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tunesmith.attached import attach_adapter
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.layers import Quantization
from tunesmith.export.adapter import base_quantize
from tunesmith.export.folder import refuse_taken
from tunesmith.export.plain import write_model
from tunesmith.fresh import Rows, fresh_logits, logits_of
from tunesmith.models.load import Base

EXACT = 1e-5  # of the largest logit: merged in float32 against attached in float32
NATS = 1e-3  # a token: attached against merged and rounded to bfloat16, both computed in float32
ROUNDED = 0.05  # of the largest value, where a single number is rounded to bfloat16
AGREE = 0.995  # of the most likely tokens stay the same
TIE = 0.1  # nats: with a smaller lead than this, which of two tokens is ahead is a matter of rounding
LONGEST = 64  # tokens of a row
# Sentences, for on random tokens a network amplifies the rounding of sums itself, to 7e-5 where these stay at 2e-6.
TEXTS = (
    "The river ran fast past the old mill, and in the evening the miller shut the gate and went home to his supper.",
    "To find the mean of a list of numbers, add them up and divide the sum by how many there are: (2 + 4 + 9) / 3 = 5.",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4))  # 12",
    "Question: which is larger, the sun or the moon? Answer: the sun, by far; it only looks small from here.",
)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far what was written is from what was trained."""

    relative: float  # largest difference of a logit, as a share of the largest logit
    nats: float  # mean Kullback-Leibler divergence of the next token
    agreement: float  # share of places with the same most likely token, ties left out

    def __str__(self) -> str:
        return f"logits within {self.relative:.1e}, {self.nats:.1e} nats a token, {self.agreement:.1%} equal choices"


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model that was read back and agreed."""

    folder: Path
    bytes: int
    drift: Drift
    packed: Quantization | None = None  # how the base was under the adapter while that was trained
    loss: Drift | None = None  # how far base and adapter are from what they were with the base so packed


def merge(
    open_base: Callable[[torch.dtype], Base],
    adapter: Path,
    output: Path,
    *,
    dtype: torch.dtype = torch.float32,
    rows: Rows | None = None,
) -> Merged:
    """Merge `adapter` into the base, in float32, and write a plain model to `output` in `dtype`.

    `open_base(torch.float32)` loads the base in its original precision, also when the adapter was trained over a packed
    one: what that differs by is measured. Its files are only read. `rows` of token ids are what the comparison runs on,
    a few sentences of ours by default. UserError for a taken folder, a quantized layer or an adapter of another base;
    RunFailed, with `output` removed, when what was written says something else.
    """
    refuse_taken(output)
    base = open_base(torch.float32)
    if output.absolute().is_relative_to(base.folder.absolute()):
        raise UserError(f"{output}: lies inside the base; choose a folder elsewhere, the base stays as it is")
    method = attach_adapter(base.network, adapter, fingerprint=base.fingerprint)
    base.network.eval()
    rows = rows or [base.tokenizer(text)["input_ids"][:LONGEST] for text in TEXTS]
    attached = logits_of(base.network, rows)
    method.merge(base.network)
    write_model(output, base.network, base.tokenizer, dtype=dtype)
    try:
        found = drift(attached, fresh_logits(output, rows, dtype=torch.float32))
        if not acceptable(found, dtype):
            raise RunFailed(f"{output}: removed, the merged model differs from base and adapter ({found})")
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise
    size, packed = sum(path.stat().st_size for path in output.iterdir()), base_quantize(adapter)
    if packed is None:
        return Merged(output, size, found)
    trained = fresh_logits(base.folder, rows, adapter=adapter, dtype=torch.float32)
    return Merged(output, size, found, packed, drift(trained, attached))


def drift(trained: Tensor, written: Tensor) -> Drift:
    """(T, V) twice -> how far `written` is from `trained`."""
    if trained.shape != written.shape:
        return Drift(float("inf"), float("inf"), 0.0)
    relative = (trained - written).abs().max() / trained.abs().max().clamp_min(1e-9)
    if trained.shape[1] == 1:  # a value or a reward: there is nothing to choose
        return Drift(float(relative), 0.0, 1.0)
    p, q = trained.log_softmax(-1), written.log_softmax(-1)
    nats = (p.exp() * (p - q)).sum(-1).mean()
    best = p.topk(2).values
    same = (trained.argmax(-1) == written.argmax(-1)) | (best[:, 0] - best[:, 1] < TIE)
    return Drift(float(relative), float(nats), float(same.float().mean()))


def acceptable(found: Drift, dtype: torch.dtype) -> bool:
    """Exact up to the order of sums in float32; the same distribution and choices after rounding."""
    if dtype == torch.float32:
        return found.relative <= EXACT
    if not found.nats:
        return found.relative <= ROUNDED
    return found.nats <= NATS and found.agreement >= AGREE
