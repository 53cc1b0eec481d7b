"""What stands before the first step: the run folder, the base, the rows, and the values that the recipe left open."""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tunesmith.bases import resolve
from tunesmith.catalogue.entries import CATALOGUE
from tunesmith.catalogue.fetch import default_cache, fetch, is_here
from tunesmith.core.errors import UserError, near
from tunesmith.core.files import RunLock, write_json, write_text
from tunesmith.core.headed import Head, mark_of
from tunesmith.core.order import seen, steps_per_epoch
from tunesmith.data.hub import looks_like_hub
from tunesmith.data.index import INDEX
from tunesmith.data.prepare import Prepared, prepare
from tunesmith.ends import head_for
from tunesmith.guarantee import KEY, promise
from tunesmith.methods.activity import base_only
from tunesmith.methods.head import with_head
from tunesmith.methods.method import MethodConfig
from tunesmith.models.gguf import plain_folder
from tunesmith.models.language import Packed
from tunesmith.models.load import Base, Place, Say, check_folder, load_base, load_tokenizer
from tunesmith.models.memory import tokens_per_pass
from tunesmith.models.precision import Probe, choose
from tunesmith.recipe import Recipe, make_recipe, read_recipe
from tunesmith.tasks.judging import refuse_rows
from tunesmith.train.optimizer import refuse_optimizer

RECIPE, CHOICES, FACTS, CANARIES = "recipe.yaml", "choices.json", "data.json", "canaries.json"
TRIED = {"train.learning_rate": "rates", "train.epochs": "numbers of epochs", "method.rank": "ranks"}
LEFT = ("result.json", "metrics.jsonl", "timing.jsonl", "samples.jsonl")
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class Source:
    """A base and rows that fit each other; no weights are loaded yet."""

    recipe: Recipe
    place: Place
    prepared: Prepared
    tokenizer: Any


def claim(folder: Path, recipe: Recipe) -> None:
    """Make `folder` the run of `recipe`, or find that it already is. Raises UserError when it is something else.

    Call it with the folder locked.
    """
    path = folder / RECIPE
    if path.exists() and not begun(folder) and read_run_recipe(folder).fingerprint != recipe.fingerprint:
        forget(folder)  # nothing was trained there: a first attempt with another value must not bar the second
    if not path.exists():
        strangers = [p.name for p in folder.iterdir() if p.name != "run.lock"]
        if strangers:
            raise UserError(
                f"output: {folder} is not empty and no run ({strangers[0]} lies there); choose another folder"
            )
        write_text(path, recipe.dumped())
        return
    before = read_run_recipe(folder)
    if before.fingerprint != recipe.fingerprint:
        raise UserError(
            f"output: {folder} holds a run of another recipe ({_difference(before, recipe)}); "
            "give the same recipe to go on, or choose another folder with output=..."
        )


@contextmanager
def run_folder(folder: Path) -> Iterator[None]:
    """The folder, made when it is not there and locked. One that was made for nothing is taken away again."""
    new = not folder.exists()
    lock = RunLock(folder)
    try:
        with lock:
            yield
    finally:
        if new and folder.is_dir() and [path.name for path in folder.iterdir()] == [lock.path.name]:
            lock.path.unlink()
            folder.rmdir()


def begun(folder: Path) -> bool:
    """Whether there is anything in a run folder that took time to make."""
    made = [*(folder / "checkpoints").glob("step-*"), folder / "adapter", folder / "model"]
    return any(path.is_dir() for path in made)


def forget(folder: Path) -> None:
    """Take out of a run folder what a run writes before its first checkpoint."""
    assert not begun(folder)
    for name in (RECIPE, CHOICES, FACTS, CANARIES, INDEX, KEY, *LEFT):
        (folder / name).unlink(missing_ok=True)
    for name in ("checkpoints", "rollouts"):
        shutil.rmtree(folder / name, ignore_errors=True)


def read_run_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder. Raises UserError when there is none."""
    path = folder / RECIPE
    if not path.is_file():
        raise UserError(f"{folder}: no run folder ({RECIPE} is missing)")
    return read_recipe(path)


def open_source(recipe: Recipe, say: Say, without: Collection[str] = ()) -> Source:
    """Find the base and read the rows. All that can be refused without weights is refused here.

    `without`: digests of rows to look past, for who only looks.
    """
    refuse_optimizer(recipe.train.optimizer, the_device())
    named = found_rows(recipe, say)
    place = resolve(recipe.base, allow_download=recipe.allow_download, say=say)
    folder = plain_folder(place.path, default_cache(), say) if place.path.is_file() else place.path
    ending = recipe.objective.ending
    config = check_folder(folder, say, head=ending != "words")
    tokenizer = load_tokenizer(folder, config)
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    eats, allowed = recipe.objective.eats, recipe.allow_download
    prepared = prepare(
        named.texts, tokenizer, context=context, eats=eats, ending=ending, allow_download=allowed, without=without
    )
    if not prepared.train:
        raise UserError("data.train: no row is left to train on")
    for key in recipe.left_to_trial:
        _refuse_trial(key, prepared)
    if recipe.train.privacy is not None:
        promise(recipe.train, prepared)
    if prepared.eats == "prompts":
        prepared.facts["reward"] = refuse_rows(recipe.objective, prepared, context)
    return Source(named, place, prepared, tokenizer)


def _refuse_trial(key: str, prepared: Prepared) -> None:
    """UserError where values of `key` cannot be tried."""
    if prepared.eats == "prompts":
        raise UserError(f"{key}: auto compares losses, and a reward is none; give a number or nothing")
    if not prepared.validation:
        raise UserError(
            f"{key}: auto compares {TRIED[key]} on validation rows, and there are none; "
            "give data.validation, a second part in data.split, or a number"
        )


def found_rows(recipe: Recipe, say: Say) -> Recipe:
    """The recipe with the files of its rows, each of which is there."""
    named = with_paths(recipe, say)
    for key in ("train", "validation", "test"):
        value = getattr(named.texts, key)
        for path in (value,) if isinstance(value, str) else value or ():
            _refuse_missing(path, f"data.{key}", recipe.allow_download)
    return named


def with_paths(recipe: Recipe, say: Say) -> Recipe:
    """The recipe with catalogue names and folders of parts in `data` replaced by files."""
    data = recipe.texts
    if isinstance(data.train, str) and data.train in CATALOGUE and CATALOGUE[data.train].kind == "data":
        found = CATALOGUE[data.train]
        if is_here(found.name):  # a download says so itself
            say(found.label)
            say(f"note: {found.note}")
        folder = fetch(found.name, allow_download=recipe.allow_download, say=say)
        return _with_parts(recipe, folder)
    if isinstance(data.train, str) and Path(data.train).is_dir() and _part(Path(data.train), "train"):
        return _with_parts(recipe, Path(data.train))
    return recipe


def _with_parts(recipe: Recipe, folder: Path) -> Recipe:
    """`folder` holds train.* and maybe validation.* and test.*; the recipe's own files come first."""
    parts = {name: _part(folder, name) for name in ("train", "validation", "test")}
    own = {name: getattr(recipe.texts, name) for name in ("validation", "test")}
    values = (
        recipe.texts.model_dump() | {k: str(v) for k, v in parts.items() if v} | {k: v for k, v in own.items() if v}
    )
    return make_recipe(recipe.model_dump() | {"data": values})


def _part(folder: Path, name: str) -> Path | None:
    return next((p for s in SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)


def _refuse_missing(path: str, key: str, allow_download: bool) -> None:
    place = Path(path)
    if place.exists() or (looks_like_hub(path) and not place.suffix and allow_download):
        return
    beside = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
    hint = near(place.name, [*beside, *(e.name for e in CATALOGUE.values() if e.kind == "data")])
    raise UserError(f"{key}: no such file or folder: {path}{hint}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A base in memory and the recipe with nothing left open."""

    recipe: Recipe
    base: Base
    prepared: Prepared
    device: torch.device
    probe: Probe
    choices: dict[str, dict[str, Any]]  # by dotted key: {"value", "reason"}

    @property
    def shown(self) -> list[Any]:
        """The training examples that the run's steps come to: all of them, unless it ends within its first epoch."""
        config, rows = self.recipe.train, self.prepared.train
        if config.privacy is not None:
            return list(rows)  # which are drawn is a secret, and any may be
        steps = config.steps(steps_per_epoch(len(rows), config.batch_size))
        return [rows[place] for place in seen(config.seed, len(rows), config.batch_size, steps)]

    @property
    def tokens_per_pass(self) -> int:
        chosen = self.recipe.train.tokens_per_pass
        assert chosen is not None
        return chosen

    @property
    def method(self) -> MethodConfig:
        """The recipe's method, and the head beside it where the network has one."""
        return with_head(self.recipe.method, self.base.network)

    @property
    def head(self) -> Head | None:
        mark = mark_of(self.base.network)
        return mark.head if mark else None


def open_base(source: Source, folder: Path | None, say: Say) -> Opened:
    """Load the base in the precision of this machine and fill what the recipe left open.

    What was chosen is kept in the run folder: a resumed run chooses the same, whatever the machine does meanwhile.
    """
    recipe = source.recipe
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    device = the_device()
    kept = _kept(folder)
    if kept is None:
        probe = choose(recipe.train.precision, device)
    else:
        probe = Probe(kept["train.precision"]["value"], kept["train.precision"]["reason"])
    base = load_base(
        source.place,
        dtype=probe.dtype,
        cache=default_cache(),
        say=say,
        quantize=recipe.base_quantize,
        head=head_for(recipe, source.prepared),
    )
    with_head(recipe.method, base.network)  # refuses what cannot be, before anything is measured
    if recipe.base_quantize is not None:
        say(f"note: the base that the tuned model is compared with is the one in {recipe.base_quantize}")
    base.network.to(device)
    choices = kept or _choices(source, base, probe, device)
    if folder is not None and kept is None:
        write_json(folder / CHOICES, choices)
    return Opened(filled(recipe, choices), base, source.prepared, device, probe, choices)


def filled(recipe: Recipe, choices: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """The same with a value in the place of each key that was chosen."""
    sections: dict[str, Any] = {}
    for key, choice in choices.items():
        name, _, own = key.partition(".")
        section = sections.get(name, getattr(recipe, name))
        sections[name] = type(section).model_validate(section.model_dump() | {own: choice["value"]})
    return recipe.model_copy(update=sections)


@contextmanager
def base_of(opened: Opened, model: Packed) -> Iterator[Packed]:
    """The base alone: the method switched off, or after full fine-tuning a second network beside the first."""
    if opened.recipe.method.kind == "full":
        yield type(model)(reopen(opened), model.way).eval()
    else:
        with base_only(model.network):
            yield model


def reopen(opened: Opened) -> Any:
    """The network of the base as it was, read from its files again."""
    place = Place(opened.base.name, opened.base.folder)
    dtype, packed = opened.probe.dtype, opened.recipe.base_quantize
    base = load_base(place, dtype=dtype, cache=default_cache(), say=lambda _: None, quantize=packed, head=opened.head)
    return base.network.to(opened.device)


def the_device() -> torch.device:
    """-> the GPU, where there is one that torch can use."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _kept(folder: Path | None) -> dict[str, dict[str, Any]] | None:
    if folder is None or not (folder / CHOICES).is_file():
        return None
    kept: dict[str, dict[str, Any]] = json.loads((folder / CHOICES).read_text(encoding="utf-8"))
    return kept


def _choices(source: Source, base: Base, probe: Probe, device: torch.device) -> dict[str, dict[str, Any]]:
    """What the recipe left to us, with the reason of each choice."""
    train, method = source.recipe.train, source.recipe.method
    choices: dict[str, dict[str, Any]] = {"train.precision": {"value": probe.precision, "reason": probe.reason}}
    if train.learning_rate is None:
        choices["train.learning_rate"] = own_rate(source.recipe)
    if train.tokens_per_pass is None:
        # Weights are there already; gradients, moments and masters of what trains are at most 16 bytes a weight.
        trained = 16 * base.network.num_parameters() if method.kind == "full" else 0
        value = tokens_per_pass(base.network.config, probe.dtype, device, trained)
        choices["train.tokens_per_pass"] = {"value": value, "reason": "fits the memory that is free"}
    if train.epochs is None and train.max_steps is None:
        choices["train.epochs"] = {"value": 1.0, "reason": "each example once; more only when validation still falls"}
    return choices


def own_rate(recipe: Recipe) -> dict[str, Any]:
    """-> the rate of the method, lower where the objective wants that, with the reason."""
    method, objective = recipe.method, recipe.objective
    why = method.reason if objective.rate == 1 else f"{method.reason}; times {objective.rate:g} for {objective.kind}"
    return {"value": float(f"{method.learning_rate * objective.rate:.3g}"), "reason": why}


def _difference(before: Recipe, after: Recipe) -> str:
    """The first key that differs, with both values."""
    old, new = (_flat(r.model_dump(mode="json", exclude={"output", "allow_download"})) for r in (before, after))
    key = next(k for k in [*old, *new] if old.get(k) != new.get(k))
    return f"{key}: {old.get(key)} there, {new.get(key)} here"


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat
