"""Prompts made ready: by frozen encoders once for each text, or as tokens where the encoders learn."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tunesmith.core.latents import Prompts
from tunesmith.models.diffusion.prompts import token_ids, told_by
from tunesmith.studio.opening import Opened


class Teller:
    """-> what the denoiser is told of each text."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._known: dict[str, tuple[dict[str, Tensor], Tensor | None, Tensor | None]] = {}

    def __call__(self, texts: Sequence[str]) -> Prompts:
        found = [self._one(text) for text in texts]
        ids = {name: torch.cat([one[0][name] for one in found]) for name in found[0][0]}
        context, pooled = ([one[k] for one in found] for k in (1, 2))
        return Prompts(ids, *(torch.cat(x) if x and x[0] is not None else None for x in (context, pooled)))  # type: ignore[arg-type]

    def _one(self, text: str) -> tuple[dict[str, Tensor], Tensor | None, Tensor | None]:
        if text not in self._known:
            base = self._opened.base
            ids = token_ids(base.parts, base.family, [text])
            if self._opened.objective.encodes:
                self._known[text] = (ids, None, None)
            else:
                with torch.no_grad():
                    here = {name: x.to(self._opened.device) for name, x in ids.items()}
                    context, pooled = told_by(base.parts, base.family)(here)
                self._known[text] = ({}, context.cpu(), None if pooled is None else pooled.cpu())
        return self._known[text]
