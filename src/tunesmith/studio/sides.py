"""The base and the tuned model of a run on pictures, one beside the other: what each paints is kept as a file."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from tunesmith.core.files import make_folder, write_bytes
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.models.diffusion.paint import Brush, paint, pipeline_of
from tunesmith.show import Show
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.grid import as_png
from tunesmith.studio.opening import Opened
from tunesmith.studio.preferences import PairFeed
from tunesmith.studio.samples import brush_of

FOLDER = "fidelity"
Side = Literal["base", "tuned"]
SIDES: tuple[Side, ...] = ("base", "tuned")


@dataclass(frozen=True, slots=True)
class Ask:
    """One picture that is asked for."""

    prompt: str
    seed: int
    guidance: float = Brush().guidance


@dataclass
class PictureSides:
    """Both models of a run, and where what they paint is kept."""

    feed: PictureFeed | PairFeed
    model: Denoiser  # the tuned one
    run: Path
    artifact: str  # sha256 of what the run made
    show: Show

    @property
    def opened(self) -> Opened:
        return self.feed.opened

    @property
    def base(self) -> Callable[[], AbstractContextManager[Denoiser]]:
        return self.feed.base

    @contextmanager
    def side(self, side: Side) -> Iterator[Denoiser]:
        if side == "tuned":
            yield self.model
            return
        with self.base() as base:
            yield base

    def painted(self, label: str, asks: Sequence[Ask]) -> tuple[np.ndarray, np.ndarray]:
        """-> (N, H, W, 3) of the base, and of the tuned model. What a file holds is not painted again."""
        with self.show.watch(f"painting for {label}: base and tuned model", 2 * len(asks), "pictures") as seen:
            both = [self._painted(side, asks, seen.read) for side in SIDES]
        return both[0], both[1]

    def _painted(self, side: Side, asks: Sequence[Ask], seen: Callable[[int], None]) -> np.ndarray:
        make_folder(self.run / FOLDER / side)
        paths = [self._path(side, ask) for ask in asks]
        missing = [place for place, path in enumerate(paths) if not _whole(path)]
        seen(len(asks) - len(missing))
        if missing:
            with self.side(side) as model:
                parts = {**self.opened.base.parts, **dict(model.network.named_children())}
                pipeline = pipeline_of(parts, self.opened.base.family, self.opened.base.noise)
                for place in missing:
                    self._paint(pipeline, asks[place], paths[place], side)
                    seen(1)
        return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])

    def _paint(self, pipeline: Any, ask: Ask, path: Path, side: Side) -> None:
        brush = replace(brush_of(self.opened), guidance=ask.guidance)
        (picture,) = paint(pipeline, [ask.prompt], [ask.seed], brush)
        about = {"prompt": ask.prompt, "seed": str(ask.seed), "guidance": f"{ask.guidance:g}", "side": side}
        write_bytes(path, as_png(picture, about))

    def _path(self, side: Side, ask: Ask) -> Path:
        """A name made of all that decides the picture."""
        model = self.artifact if side == "tuned" else self.opened.base.fingerprint
        about = [model, self.opened.probe.precision, asdict(brush_of(self.opened)), asdict(ask)]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        return self.run / FOLDER / side / f"{digest[:24]}.png"


def _whole(path: Path) -> bool:
    """Whether there is such a picture, not one that a full disk cut short."""
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, UnidentifiedImageError):
        return False
    return True
