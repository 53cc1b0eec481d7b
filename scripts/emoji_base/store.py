"""The folder in which everything is made: drawings, words, latents, and one folder for each stage of training."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tunesmith.core.errors import UserError
from tunesmith.core.files import commit_folder, read_manifest

from . import words
from .captions import Slots, caption, vary
from .composites import Composite, compose
from .drawings import Emoji, trained
from .networks import Sizes
from .packages import download
from .training import states

_CAPTIONS = 12  # of each drawing, to learn words from


class Store:
    def __init__(self, folder: Path, sizes: Sizes, seed: int) -> None:
        self.folder, self.sizes, self.seed = folder, sizes, seed

    def prepare(self) -> None:
        """Bring the packages, draw, and learn the words; what is there already stays."""
        if not (self.folder / "drawings").exists():
            download(self.folder / "packages")
            self.keep(*trained(self.folder / "packages"))

    def keep(self, every: list[Emoji], pictures: np.ndarray) -> None:
        rng = np.random.default_rng([self.seed, 1])
        composites = (compose(i, every, rng) for i in range(len(every)) for _ in range(_CAPTIONS))
        texts = [caption(vary(composite.slots, rng)) for composite in composites]
        words.learn(texts, self.sizes.words, self.folder / "words")
        with commit_folder(self.folder / "drawings", {"drawings": len(every)}) as aside:  # last: then all is there
            save_file({"rgba": pictures}, aside / "rgba.safetensors")
            (aside / "emoji.json").write_text(json.dumps([one.as_json() for one in every]), encoding="utf-8")

    def drawings(self) -> tuple[list[Emoji], np.ndarray]:
        self._refuse_if_not_drawn()
        rows = json.loads((self.folder / "drawings/emoji.json").read_text(encoding="utf-8"))
        every = [Emoji(**{**row, "tags": tuple(row["tags"])}) for row in rows]
        return every, load_file(self.folder / "drawings/rgba.safetensors")["rgba"]

    def tokenizer(self) -> Any:
        self._refuse_if_not_drawn()
        return words.load(self.folder / "words")

    def keep_latents(self, latents: np.ndarray, composites: list[Composite]) -> None:
        with commit_folder(self.folder / "latents", self._encoder()) as aside:
            # An array in another order of memory would be written scrambled, without a word.
            save_file({"latents": np.ascontiguousarray(latents)}, aside / "latents.safetensors")
            rows = [asdict(composite.slots) for composite in composites]
            (aside / "slots.json").write_text(json.dumps(rows), encoding="utf-8")

    def latents(self) -> tuple[np.ndarray, list[Slots]]:
        """The pictures and what each of them shows, in one order: they are kept and read together."""
        place = self.folder / "latents"
        if not place.exists():
            raise UserError(f"{place}: missing; run --stage latents first")
        if read_manifest(place)["encoder"] != self._encoder()["encoder"]:
            raise UserError(
                f"{place}: made by another encoder than {self.folder / 'vae'} holds now; delete what follows it"
            )
        rows = json.loads((self.folder / "latents/slots.json").read_text(encoding="utf-8"))
        kept = load_file(self.folder / "latents/latents.safetensors")["latents"]
        assert len(kept) == len(rows)
        return kept, [Slots(**{**row, "tags": tuple(row["tags"])}) for row in rows]

    def _refuse_if_not_drawn(self) -> None:
        if not (self.folder / "drawings").exists():
            raise UserError(f"{self.folder}: no drawings there yet; run --stage draw first")

    def _encoder(self) -> dict[str, str]:
        """What tells the encoder at hand from every other: latents of one are noise to the rest."""
        return {"encoder": read_manifest(states(self.folder / "vae")[-1])["sha256"]}
