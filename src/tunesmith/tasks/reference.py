"""What the frozen base says of each answer: computed once, kept by the content of everything that it depends on."""

import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.answers import Answers
from tunesmith.core.batch import TokenBatch
from tunesmith.core.files import PRIVATE, make_folder
from tunesmith.core.freed import give_back
from tunesmith.evaluate.score import score_answers
from tunesmith.models.language import Packed
from tunesmith.opening import Opened, base_of
from tunesmith.show import Show
from tunesmith.streams.answers import Reference, Scores
from tunesmith.tasks.task import Refer


def referring(opened: Opened, model: Packed, show: Show, cache: Path | None = None) -> Refer:
    """-> a function that scores trees by the base: `model` with its method off, or the base's files read again."""

    def refer(trees: Sequence[Answers]) -> Reference:
        path = (cache or default_cache()) / "reference" / f"{_name(opened, model, trees)}.safetensors"
        scores = _kept(path, trees)
        if scores is None:
            scores = _scored(opened, model, show, trees)
            _keep(path, scores)
        by_id = dict(zip(map(id, trees), scores, strict=True))
        return lambda one: by_id[id(one)]

    return refer


def _scored(opened: Opened, model: Packed, show: Show, trees: Sequence[Answers]) -> list[Scores]:
    total = sum(map(len, trees))
    with base_of(opened, model) as base, show.watch("reading the answers with the base", total) as seen:

        def scorer(batch: TokenBatch) -> torch.Tensor:
            seen.read(len(batch.tokens))
            return base(batch)

        base.eval()
        scores = score_answers(scorer, trees, opened.tokens_per_pass, opened.device)
    give_back()
    return scores


def _name(opened: Opened, model: Packed, trees: Sequence[Answers]) -> str:
    """-> a hash of the base, of how it computes, and of every token of every answer."""
    packed = opened.recipe.base_quantize
    digest = hashlib.sha256(f"{opened.base.fingerprint} {opened.probe.precision} {packed} {model.way}".encode())
    for one in trees:
        assert one.branches is not None
        digest.update(array("q", [len(one), *one.tokens, *one.branches]).tobytes() + bytes(one.trained))
    return digest.hexdigest()


def _kept(path: Path, trees: Sequence[Answers]) -> list[Scores] | None:
    if not path.is_file():
        return None
    try:
        flat = load_file(path)["logprobs"]
    except (SafetensorError, KeyError, OSError):
        return None  # damaged: made again
    counts = [one.count for one in trees]
    if flat.shape != (sum(counts),):
        return None
    return [tuple(values.tolist()) for values in flat.split(counts)]


def _keep(path: Path, scores: Sequence[Scores]) -> None:
    """Written aside and moved into place. A cache that cannot be written only costs time."""
    make_folder(path.parent)
    aside = path.with_suffix(".partial")
    save_file({"logprobs": torch.tensor([s for said in scores for s in said], dtype=torch.float64)}, aside)
    aside.chmod(PRIVATE)
    aside.replace(path)
