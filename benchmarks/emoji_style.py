"""Whether a style was learned: concepts that were not shown, painted by base and tuned model, beside real drawings.

style      the share of pictures nearer to the drawing of their concept in the new style than to Noto's
concept    the share whose nearest drawing in the new style is that of their own concept
"""

import json
from pathlib import Path

import numpy as np

from tunesmith.catalogue.fetch import fetch
from tunesmith.models.seeing import efficientnet
from tunesmith.studio.fidelity import loaded
from tunesmith.studio.painter import load_painter


def judged_style(run: Path, held: Path, seed: int) -> None:
    """Write `style.json` in the run, unless it is there."""
    kept = run / "style.json"
    if kept.exists():
        return
    encoder = efficientnet(fetch("efficientnet-lite0", allow_download=False))
    codes = sorted(path.stem for path in held.glob("*.txt"))
    names = [(held / f"{code}.txt").read_text(encoding="utf-8") for code in codes]
    painter = load_painter(str(run))
    edge = painter.paint("a zwx emoji", [0]).shape[1]
    own, noto = (encoder(loaded([held / f"{code}{end}.png" for code in codes], edge)) for end in ("", "-noto"))
    found: dict[str, float] = {}
    for side, name in (("off", "base"), ("on", "tuned")):
        made = [painter.paint(f"a zwx emoji of {text}", [100 * seed], adapter=side)[0] for text in names]
        seen = encoder(np.stack(made))
        nearer = (seen * own).sum(1) > (seen * noto).sum(1)
        right = (seen @ own.T).argmax(1) == np.arange(len(codes))
        found |= {f"style.{name}": float(nearer.mean()), f"concept.{name}": float(right.mean())}
    kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
