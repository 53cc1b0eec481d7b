"""From the recipe's `data` section to examples: read, recognise, split, encode, and say what was found."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.core.answers import Answers
from tunesmith.core.batch import Example
from tunesmith.core.errors import UserError
from tunesmith.core.protocols import Eats, Ending
from tunesmith.core.targets import Target
from tunesmith.data.canaries import Canary, canaries, planted
from tunesmith.data.chat import DAY
from tunesmith.data.config import COMPARED, Data
from tunesmith.data.encode import ODD, SAME, Encoder, Item
from tunesmith.data.formats import forms, label_names, recognised
from tunesmith.data.forms import Form, Labelled, Told
from tunesmith.data.hub import looks_like_hub, read_hub
from tunesmith.data.rows import Row, fingerprint, read_rows
from tunesmith.data.split import Parts, fractions, limited, parted, refuse_equal, refuse_identical, shared

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPOKEN = {
    "messages": "chat messages",
    "prompt-completion": "prompts and completions",
    "alpaca": "Alpaca instructions",
    "sharegpt": "ShareGPT conversations",
    "labelled": "labelled text",
    "text": "plain text",
    "preference": "preference pairs",
    "implicit-preference": "preference pairs whose prompt is what both answers begin with",
    "openai-preference": "preference pairs as OpenAI writes them",
    "ranking": "ranked answers",
    "rated": "rated answers",
    "prompt": "prompts",
}


@dataclass(frozen=True)
class Prepared:
    """Everything that a run needs of the data."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    validation_items: list[Item]
    test_items: list[Item]
    labels: tuple[str, ...]
    stop: int | None  # the token that ends an answer
    facts: dict[str, Any]
    said: list[str]
    cut: dict[str, list[Row]] = field(default_factory=dict)
    """Rows that did not fit, dropped for their length or truncated, and those that are odd, by what is odd."""
    eats: Eats = "tokens"
    """The kind of the examples."""
    canaries: tuple[Canary, ...] = ()
    """Secrets that were put among the training rows."""
    digests: dict[str, list[str]] = field(default_factory=dict)
    """Of each part, the sha256 of its rows."""


@dataclass
class _Found:
    """The rows of each part, and what there is to say about them."""

    rows: dict[str, list[Row]]
    split: list[Row]  # those of data.train, whatever their part
    kind: str
    labels: tuple[str, ...]
    typed: dict[int, Form]  # by the id of the row
    facts: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    canaries: tuple[Canary, ...] = ()

    @property
    def count(self) -> int:
        """The rows of the files."""
        return sum(map(len, self.rows.values())) - sum(canary.times for canary in self.canaries)

    @property
    def digests(self) -> dict[str, list[str]]:
        return {part: [row.digest for row in rows] for part, rows in self.rows.items()}


def prepare(  # noqa: PLR0913 - who only looks needs one more than a run
    config: Data,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    context: int | None,
    eats: Eats = "tokens",
    ending: Ending = "words",
    allow_download: bool = False,
    without: Collection[str] = (),
) -> Prepared:
    """-> the examples of each part, of the kind that the objective eats. `ending`: of the network that reads them.

    `context`: the most tokens that the model reads. `without`: digests of rows to look past. UserError names its place.
    """
    found = gather(config, allow_download, eats, ending, without)
    kind, labels = found.kind, found.labels
    found.said.append(f"{', '.join(config.sources)}: {found.count} rows of {SPOKEN[kind]}")
    encoder = Encoder(config, tokenizer, context)
    examples: dict[str, list[Example]] = {}
    items: dict[str, list[Item]] = {}
    counts: dict[str, Counter[str]] = {}
    for part, rows in found.rows.items():
        typed = [found.typed[id(row)] for row in rows]
        examples[part], items[part] = _encoded(encoder, typed, ask=part != "train")
        counts[part] = Counter(form.label for form in typed if isinstance(form, Labelled | Told) and form.label)
        if rows and not examples[part]:
            raise UserError(f"{rows[0].file}: no row of the {part} part is left: {_reasons(encoder.counts)}")
    found.said += compared(encoder.counts, encoder.cut)
    found.facts |= {"format": kind, "labels": list(labels)} | _facts(found.rows, examples, counts) | _counted(encoder)
    found.said += _sentences(encoder, examples)
    return Prepared(
        examples["train"],
        examples["validation"],
        examples["test"],
        items["validation"],
        items["test"],
        labels,
        encoder.stop,
        found.facts,
        found.said,
        encoder.cut,
        eats,
        found.canaries,
        found.digests,
    )


def gather(
    config: Data, allow_download: bool, eats: Eats = "tokens", ending: Ending = "words", without: Collection[str] = ()
) -> _Found:
    """-> the rows of each part, without a tokenizer. UserError for files that cannot be used together."""
    read, own = read_parts(config, allow_download)
    if without:
        read = [row for row in read if row.digest not in without]
        own = {name: [row for row in rows if row.digest not in without] for name, rows in own.items()}
    rows = limited(read, config.limit)
    refuse_identical(rows)
    # A row that cannot be is named before anything is said about the rows as a whole.
    every = [row for some in (rows, *own.values()) for row in some]
    kind = recognised(config, every, eats)
    if eats != "tokens" and config.train_on == "all":
        raise UserError("data.train_on: all is for objective=sft; answers alone are compared and rewarded")
    if eats == "targets":
        _refuse_words(config, ending)
    labels = label_names(config, rows) if kind == "labelled" and ending != "value" else ()
    typed = {id(row): form for row, form in zip(every, forms(config, kind, every, labels, eats), strict=True)}
    parts = parted(rows, fractions(config), config.near_duplicates)
    train = limited(parts.train, max(1, round(config.share * len(parts.train))))
    by_part = {"train": train, "validation": parts.validation, "test": parts.test} | own
    kept = {name: [row for row in some if row.digest not in config.exclude] for name, some in by_part.items()}
    found = _Found(kept, rows, kind, labels, typed)
    if config.exclude:
        _say_excluded(found, sum(map(len, by_part.values())) - found.count)
    if eats == "tokens" and kind in COMPARED:
        found.said.append("note: of compared answers the best one is learned; objective=dpo learns from both")
    files = (*config.sources, *(path for path in (config.validation, config.test) if path))
    found.facts["files"] = {name: fingerprint(name) if Path(name).exists() else None for name in files}
    found.facts["rows_read"] = len(read) + sum(map(len, own.values()))
    found.facts["duplicates"] = {"exact": parts.exact, "near": parts.near}
    found.facts["overlap"] = {name: _overlap(config, found, name) for name in own}
    _say_duplicates(found, parts)
    _say_fewer(found, "data.limit", "rows", len(rows), len(read))
    _say_fewer(found, "data.share", "training rows", len(train), len(parts.train))
    if config.canaries:
        _plant(config.canaries, found, eats)
    return found


def _say_excluded(found: _Found, left: int) -> None:
    found.facts["excluded"] = left
    found.said.append(f"data.exclude: {left} rows are left out; all others are in the part that they were in")


def _say_fewer(found: _Found, key: str, what: str, used: int, all_of_them: int) -> None:
    if used < all_of_them:
        found.said.append(f"{key}: {used} of {all_of_them} {what} are used")


def read_parts(config: Data, allow_download: bool) -> tuple[list[Row], dict[str, list[Row]]]:
    """-> the rows of data.train, and those of validation and test where they have files of their own."""
    read = [row for source in config.sources for row in _read(source, "train", allow_download)]
    own = {
        name: _read(path, name, allow_download) for name in ("validation", "test") if (path := getattr(config, name))
    }
    return read, own


def _plant(count: int, found: _Found, eats: Eats) -> None:
    """Put secrets among the training rows."""
    if eats != "tokens":
        raise UserError("data.canaries: a secret is learned as an answer; only objective=sft and distill learn those")
    found.canaries = tuple(canaries(count, found.rows["train"]))
    forms_ = planted(found.canaries, found.kind)
    found.rows["train"] = [*found.rows["train"], *(form.row for form in forms_)]
    found.typed |= {id(form.row): form for form in forms_}
    found.said.append(f"data.canaries: {count} secrets stand in {len(forms_)} more training rows")


def _refuse_words(config: Data, ending: Ending) -> None:
    """A head reads the text and nothing else, and a value has no name."""
    if config.system is not None:
        raise UserError("data.system: a head reads the text alone; put what it must know into data.template")
    if ending == "value" and config.labels is not None:
        raise UserError("data.labels: objective=regress learns numbers, which have no names; remove it")


def _read(source: str, part: str, allow_download: bool) -> list[Row]:
    if not Path(source).exists() and looks_like_hub(source):
        return read_hub(source, part, allow_download=allow_download)
    return read_rows(source)


def _overlap(config: Data, found: _Found, name: str) -> dict[str, int]:
    """-> how many rows of the user's own file also stand in `train`, or (almost) in other words."""
    rows = found.rows[name]
    refuse_equal(found.split, rows, name)
    exact, near = shared(found.split, rows, config.near_duplicates)
    if exact or near:
        found.said.append(
            f"warning: of {len(rows)} rows of data.{name}, {exact} also stand in data.train and {near} nearly so"
        )
    return {"exact": exact, "near": near}


def _say_duplicates(found: _Found, parts: Parts) -> None:
    if parts.exact or parts.near:
        kept = "; they stay in the same part" if any(found.rows[name] for name in ("validation", "test")) else ""
        found.said.append(f"{parts.exact} rows repeat another one, {parts.near} more are near-duplicates{kept}")


def _encoded(encoder: Encoder, typed: Sequence[Form], ask: bool) -> tuple[list[Example], list[Item]]:
    done = [encoded for form in typed if (encoded := encoder.encoded(form, ask)) is not None]
    return [e for one in done for e in one.examples], [one.item for one in done if one.item is not None]


_DROPS = ("too long", "nothing trained after truncation", SAME)


def _counted(encoder: Encoder) -> dict[str, Any]:
    counts = encoder.counts
    return {
        "dropped": {reason: counts[reason] for reason in _DROPS if counts[reason]},
        "truncated": counts["truncated"],
        "cut_into_blocks": counts["cut into blocks"],
        "last_turn_only": counts["last turn only"],
        "max_length": encoder.most,
        "longest": {"tokens": encoder.longest[0], "place": encoder.longest[1]},
    }


def _facts(
    rows: dict[str, list[Row]], examples: dict[str, list[Example]], counts: dict[str, Counter[str]]
) -> dict[str, Any]:
    sizes = {
        part: {
            "rows": len(rows[part]),
            "examples": len(found),
            "tokens": sum(map(len, found)),
            "trained_tokens": sum(example.trained_tokens for example in found),
            "labels": dict(sorted(counts[part].items())),
        }
        for part, found in examples.items()
    }
    return {"parts": sizes, "mask_sha256": mask_hash(examples)}


def compared(counts: Counter[str], cut: dict[str, list[Row]]) -> list[str]:
    """-> what is odd about compared answers, with the first rows of each kind."""
    return [
        f"warning: {counts[what]} {'rows' if counts[what] > 1 else 'row'}: {what} ({_places(cut[what])})"
        for what in ODD
        if counts[what]
    ]


def _places(rows: Sequence[Row], shown: int = 5) -> str:
    more = f" and {len(rows) - shown} more" if len(rows) > shown else ""
    return f"{rows[0].file}, row{'s' if len(rows) > 1 else ''} {', '.join(str(r.number) for r in rows[:shown])}{more}"


def mask_hash(parts: dict[str, list[Example]]) -> str:
    """-> a sha256 of every token of every part and of whether it is trained."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(f"{name} {len(parts[name])}\n".encode())
        for example in parts[name]:
            digest.update(array("q", [len(example), *example.tokens]).tobytes() + bytes(example.trained))
            if isinstance(example, Target):
                digest.update(array("d", [example.target]).tobytes())
            if isinstance(example, Answers):
                digest.update(f"{example.branches} {example.better} {example.margins} {example.wanted}".encode())
    return digest.hexdigest()


def _reasons(counts: Counter[str], reasons: Sequence[str] = _DROPS) -> str:
    return ", ".join(f"{counts[reason]} dropped ({reason})" for reason in reasons if counts[reason])


def _sentences(encoder: Encoder, examples: dict[str, list[Example]]) -> list[str]:
    counts, said = encoder.counts, []
    sizes = ", ".join(f"{len(found)} {part}" for part, found in examples.items() if found)
    tokens, trained = (sum(map(f, examples["train"])) for f in (len, lambda e: e.trained_tokens))
    said.append(f"examples: {sizes}; train holds {tokens} tokens" + (f", {trained} of them trained" if trained else ""))
    if reasons := _reasons(counts, _DROPS[:2]):
        said.append(f"{reasons}: longer than {encoder.most} tokens")
    if counts["truncated"]:
        said.append(f"{counts['truncated']} rows cut to {encoder.most} tokens")
    if counts["cut into blocks"]:
        said.append(f"{counts['cut into blocks']} texts cut into blocks of {encoder.most} tokens")
    if encoder.dated:
        said.append(f"the chat template writes the day's date: every row is written as on {DAY:%d %B %Y}")
    if counts["last turn only"]:
        said.append(f"the chat template rewrites earlier turns: {counts['last turn only']} rows train only the last")
    if counts["opening"]:
        said.append(f"{counts['opening']} conversations are opened by the assistant: that message is context")
    if counts["end added"]:
        said.append(
            "the chat template writes no token that ends a turn: the end-of-text token is put behind the last one"
        )
    return said
