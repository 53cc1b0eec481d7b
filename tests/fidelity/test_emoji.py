"""The scale on real drawings with the real encoder: the cat of the demo, other cats, and pictures between the two."""

from pathlib import Path

import numpy as np
import pytest

from tunesmith.catalogue.fetch import fetch
from tunesmith.fidelity.anchors import Anchors
from tunesmith.fidelity.things import cut_out
from tunesmith.models.seeing import efficientnet
from tunesmith.studio.fidelity import loaded


def _in_a_setting(pictures: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Half as large, on the left, before another colour."""
    made = np.broadcast_to(np.array(colour, np.uint8), pictures.shape).copy()
    small = pictures[:, ::2, ::2]
    made[:, 16:48, 2:34] = np.where((small > 245).all(-1, keepdims=True), made[:, 16:48, 2:34], small)
    return made


@pytest.mark.slow
def test_real_is_above_a_blend_and_a_blend_above_another_cat():
    encoder = efficientnet(fetch("efficientnet-lite0", allow_download=True))
    cat, cats = (
        loaded(sorted(Path(fetch(name, allow_download=False)).glob("*.png")), 64)
        for name in ("emoji-cat", "emoji-cats")
    )

    def seen(pictures: np.ndarray) -> np.ndarray:
        return encoder(np.stack([cut_out(picture) for picture in pictures]))

    scale = Anchors.of(seen(cat[:4]), seen(cats[:2]))
    blend = (0.6 * cat[4:] + 0.4 * cats[2:4]).astype(np.uint8)
    found = {name: float(scale.likeness(seen(made)).mean()) for name, made in {
        "real": cat[4:], "in a setting": _in_a_setting(cat[4:], (214, 48, 49)), "blend": blend, "another": cats[2:],
    }.items()}  # fmt: skip
    print(found, scale.floor, scale.ceiling)
    assert found["real"] > found["blend"] > found["another"]
    assert found["real"] > 0.8 and abs(found["another"]) < 0.3
    assert found["in a setting"] > 0.5, "where it stands, and before what, says nothing of who it is"
