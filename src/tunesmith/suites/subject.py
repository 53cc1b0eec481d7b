"""What the suites are asked of: a finished run with its base, its rows, and what was asked for on the command line."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith.catalogue.fetch import fetch
from tunesmith.core.batch import Example
from tunesmith.core.errors import UserError
from tunesmith.data.encode import Item as Asked
from tunesmith.data.prepare import Prepared, gather, prepare
from tunesmith.data.rows import Row, canonical
from tunesmith.evaluate.family import needed, visible
from tunesmith.opening import Opened
from tunesmith.show import Show
from tunesmith.suites.kept import Kept, Pairs, answered
from tunesmith.suites.sides import Sides
from tunesmith.suites.suite import Family, Item, Unfit


@dataclass(frozen=True)
class Subject:
    run: Path
    place: Path  # where the numbers go: the run folder, or a folder in it for other rows
    sides: Sides
    show: Show
    identity: dict[str, str]  # base, artifact_sha256, recipe
    margin: float = 0.05
    limit: int | None = None
    column: str | None = None  # whose values make the slices

    @property
    def opened(self) -> Opened:
        return self.sides.opened

    @property
    def prepared(self) -> Prepared:
        return self.opened.prepared

    @property
    def questions(self) -> list[Asked]:
        """The test rows as prompts. Raises Unfit where they hold none."""
        if not self.prepared.test_items:
            raise Unfit("the test rows hold no prompts (plain text, or none at all); name other rows with --data")
        return self.prepared.test_items

    @cached_property
    def rows(self) -> list[Row]:
        """The test rows that were asked, in order, with all their columns."""
        recipe = self.opened.recipe
        found = gather(recipe.data, recipe.allow_download, recipe.objective.eats, recipe.objective.ending)
        gone = {(row.file, row.number) for why, some in self.prepared.cut.items() if why in _GONE for row in some}
        return [row for row in found.rows["test"] if (row.file, row.number) not in gone]

    def as_tokens(self) -> Prepared:
        """The rows as tokens to learn, whatever the objective made of them. Raises Unfit where that cannot be."""
        if self.prepared.eats == "tokens":
            return self.prepared
        try:
            return prepare(
                self.opened.recipe.data, self.opened.base.tokenizer, context=self.opened.base.context, eats="tokens"
            )
        except UserError as error:
            raise Unfit(f"the rows hold no answers that could be memorised ({error})") from error

    def family(self) -> Family:
        return Family(self.margin)

    def probe(self, name: str) -> list[dict[str, Any]]:
        """-> the items of an entry of the catalogue, which must be on the disk."""
        path = fetch(name, allow_download=False, say=self.show.say)
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def some(self, items: Sequence[Item], most: int | None) -> list[Item]:
        """-> the items that are asked: `--limit` of them, or `most`, chosen by their content."""
        wanted = self.limit or most
        if wanted is None or wanted >= len(items):
            return list(items)
        chosen = sorted(range(len(items)), key=lambda i: (_draw(items[i]), i))[:wanted]
        return [items[i] for i in sorted(chosen)]

    def ask(self, name: str, items: Sequence[Item], ask: Callable[[Sequence[Item]], Pairs], at_once: int = 64) -> Pairs:
        """-> what both models did on `items`: kept from before, or asked for now."""
        known = json.dumps([self.identity, self.opened.probe.precision, name, REVISION], sort_keys=True)
        kept = Kept(self.place / "suites" / name, hashlib.sha256(known.encode()).hexdigest())
        with self.show.watch(f"{name}: base and tuned model", len(items), "items") as seen:
            return answered(kept, items, ask, at_once, seen.read)

    def announce(self, name: str, items: int, what: str = "items", shares: bool = True) -> None:
        """Say, before anything is asked, what so many items can show. Raises Unfit where there are none."""
        if not items:
            raise Unfit(f"{name}: no item to ask; give more rows with --data, or raise --limit")
        said = f"{name}: {items} {what}"
        if shares:
            said += f", which show a change of {100 * visible(items):.1f} points or more (if one in ten changes)"
            if visible(items) > self.margin:
                said += f"; for the {100 * self.margin:g} points of --margin about {needed(self.margin)} are needed"
        self.show.say(said)


_GONE = ("too long", "nothing trained after truncation", "all answers are the same")
REVISION = 1  # of the questions and of how they are asked: another one asks again


def _draw(item: Item) -> str:
    return hashlib.sha256(canonical(dict(item)).encode()).hexdigest()


def plain(example: Example) -> dict[str, Any]:
    """-> an example as an item."""
    return {"tokens": list(map(int, example.tokens)), "trained": [int(bool(t)) for t in example.trained]}


def example_of(item: Item) -> Example:
    return Example(item["tokens"], [bool(t) for t in item["trained"]], 0)
