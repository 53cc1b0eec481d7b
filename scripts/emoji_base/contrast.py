"""Stage `clip`: a text tower and an image tower that agree on which caption belongs to which picture.

InfoNCE (Radford et al. 2021), where every picture of the same emoji in the batch, in any style, is right (Khosla et al.
2020). The text tower is where the pipeline's text encoder begins; the image tower only judges.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .captions import caption, vary
from .composites import compose
from .networks import ImageTower, as_pictures, text_tower
from .store import Store
from .training import Losses, Plan, Stage, best
from .words import tokens


class Pair(nn.Module):
    def __init__(self, store: Store, tokenizer: Any) -> None:
        super().__init__()
        self.text = text_tower(store.sizes, tokenizer)
        self.image = ImageTower(store.sizes)
        self.scale = nn.Parameter(torch.tensor(2.66))  # log of 1 / 0.07

    def logits(self, ids: Tensor, pictures: Tensor) -> Tensor:
        said = F.normalize(self.text(ids).pooler_output.float(), dim=-1)
        seen = F.normalize(self.image(pictures).float(), dim=-1)
        return self.scale.clamp(max=4.6).exp() * said @ seen.T


def clip_stage(store: Store, plan: Plan) -> tuple[Stage, Callable[[int], Losses]]:
    torch.manual_seed(plan.seed)
    tokenizer = store.tokenizer()
    network = Pair(store, tokenizer)
    stage = Stage("clip", network, plan, store.folder)
    every, drawings = store.drawings()
    codes = np.array([one.code for one in every])

    def loss(step: int) -> Losses:
        rng = np.random.default_rng([plan.seed, 3, step])
        chosen = rng.integers(len(every), size=plan.batch)
        composites = [compose(int(i), every, rng) for i in chosen]
        pictures = as_pictures(np.stack([one.draw(drawings) for one in composites]))
        ids = tokens(tokenizer, [caption(vary(one.slots, rng)) for one in composites])
        right = torch.from_numpy(codes[chosen][:, None] == codes[chosen][None, :])
        with torch.autocast("cpu", torch.bfloat16):
            logits = network.logits(ids, pictures)
        hits = (logits.argmax(dim=1, keepdim=True) == torch.arange(plan.batch)[:, None]).float().mean()
        return {"loss": (_nce(logits, right) + _nce(logits.T, right)) / 2, "hits": hits}

    return stage, loss


def _nce(logits: Tensor, right: Tensor) -> Tensor:
    return -((logits.log_softmax(dim=1) * right).sum(dim=1) / right.sum(dim=1)).mean()


def trained_pair(store: Store) -> Any:
    return best(store.folder / "clip", Pair(store, store.tokenizer()))
