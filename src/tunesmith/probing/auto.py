"""Numbers in the place of each `auto`: what is chosen is kept in the run folder with its evidence, and chosen once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.core.files import write_json
from tunesmith.models.language import Packed
from tunesmith.opening import CHOICES, Opened, filled
from tunesmith.probing import epochs, ranks, rates
from tunesmith.probing.choice import Key
from tunesmith.show import Show

Choose = Callable[[Opened, Packed, Show], dict[str, Any]]


def ranked(opened: Opened, model: Packed, folder: Path, show: Show) -> Opened:
    """The same with a number for a rank of `auto`, before anything is attached."""
    open_yet = getattr(opened.recipe.method, "rank", None) == "auto"
    return _chosen(ranks.KEY, ranks.chosen_rank, opened, model, folder, show) if open_yet else opened


def probed(opened: Opened, model: Packed, folder: Path, show: Show) -> Opened:
    """The same with numbers for a rate, then for epochs, of `auto`; `model` has the method in it."""
    if opened.recipe.train.learning_rate == "auto":
        opened = _chosen(rates.KEY, rates.chosen_rate, opened, model, folder, show)
    if opened.recipe.train.epochs == "auto":
        opened = _chosen(epochs.KEY, epochs.chosen_epochs, opened, model, folder, show)
    return opened


def _chosen(key: Key, choose: Choose, opened: Opened, model: Packed, folder: Path, show: Show) -> Opened:
    choice = choose(opened, model, show)
    choices = {**opened.choices, key.name: choice}
    write_json(folder / CHOICES, choices)
    for tried in choice["tried"]:
        value = tried[key.mark]
        show.say(f"{_named(key)} {value:g}: validation loss {_loss(tried['loss'])}")
    show.choices({key.name: choice})
    return replace(opened, recipe=filled(opened.recipe, {key.name: choice}), choices=choices)


def _named(key: Key) -> str:
    return key.name.rpartition(".")[2].replace("_", " ")


def _loss(loss: float | None) -> str:
    return "not a number" if loss is None else f"{loss:.4g}"
