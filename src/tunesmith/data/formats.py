"""What the rows of a file hold: one format for all of them, found from their fields, and each row in its typed form."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.core.errors import UserError, near
from tunesmith.core.protocols import Eats
from tunesmith.data import messages, preferences
from tunesmith.data.config import FIELDS, FORMATS, LESS, MAY_HOLD, Data
from tunesmith.data.forms import DEFAULT_TEMPLATE, Conversation, Form, Labelled, Message, Text, Told
from tunesmith.data.rows import Row

_MANY = 200  # more labels than this are answers, not labels


FEEDS: dict[Eats, str] = {
    "tokens": "objective=sft",
    "pairs": "an objective over pairs, such as objective=dpo",
    "rated": "objective=kto",
    "prompts": "an objective with a reward, such as objective=grpo",
    "targets": "objective=classify or regress",
    "ranked": "objective=reward",
}


def recognised(config: Data, rows: Sequence[Row], eats: Eats = "tokens") -> str:
    """-> the format that all `rows` have. UserError when none fits, two fit, rows differ, or it feeds others."""
    found = config.format if config.format != "auto" else _fitting(config, rows[0], eats)
    if found not in FORMATS[eats]:
        raise UserError(f"data.format: {found} cannot feed {FEEDS[eats]}; that takes {_or(FORMATS[eats])}")
    for row in rows:
        values = mapped(config, row)
        missing = [name for name in FIELDS[found] if name not in values]
        if not missing:
            continue
        others = [kind for kind in _fits(values, FORMATS[eats]) if kind != found]
        if config.format == "auto" and others:
            raise UserError(f"{row.place}: looks like {others[0]} where the rows before it are {found}; use one format")
        has = f"it has {', '.join(f'`{name}`' for name in values)}"
        raise UserError(f"{row.place}: has no `{missing[0]}`, which {found} needs ({has}){near(missing[0], values)}")
    if found != "labelled" and (config.template or config.labels):
        name = "template" if config.template else "labels"
        raise UserError(f"data.{name}: only labelled text has it, and {rows[0].file} holds {found}")
    if found == "text" and config.system:
        raise UserError(f"data.system: plain text has no system message, and {rows[0].file} holds plain text")
    return found


def forms(config: Data, kind: str, rows: Sequence[Row], labels: tuple[str, ...], eats: Eats = "tokens") -> list[Form]:
    """-> each row in its typed form. `labels` are those of `label_names`; without any, targets are numbers."""
    if eats == "targets":
        return [_told(config, row, labels) for row in rows]
    if kind == "labelled":
        return [_labelled(config, row, labels) for row in rows]
    if eats == "prompts":
        return [preferences.asked(row, mapped(config, row)) for row in rows]
    if kind not in preferences.READERS:
        return [_READERS[kind](row, mapped(config, row)) for row in rows]
    judged = [preferences.READERS[kind](row, mapped(config, row)) for row in rows]
    if eats == "tokens":
        return [one.best for one in judged]
    return [preferences.single(one) for one in judged] if eats == "rated" else [*judged]


def label_names(config: Data, rows: Sequence[Row]) -> tuple[str, ...]:
    """-> the labels in order: the recipe's, or those of the rows, sorted."""
    if config.labels is not None:
        return config.labels
    values = [_label(row, mapped(config, row)) for row in rows]
    names = set(map(str, values))
    if len(names) < 2:
        raise UserError(f"{rows[0].file}: every row has the label `{names.pop()}`; there is nothing to learn")
    if len(names) > _MANY:
        raise UserError(
            f"{rows[0].file}: {len(names)} different labels; for free answers use data.format: prompt-completion"
        )
    if all(type(value) is int for value in values):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def mapped(config: Data, row: Row) -> dict[str, Any]:
    """-> the values of a row under our names for them."""
    if not config.columns:
        return row.values
    for ours, theirs in config.columns.items():
        if theirs not in row.values:
            raise UserError(
                f"{row.place}: has no column `{theirs}`, which data.columns.{ours} names{near(theirs, row.values)}"
            )
    return {ours: row.values[theirs] for ours, theirs in config.columns.items()} | {
        name: row.values[name] for name in MAY_HOLD if name in row.values and name not in config.columns
    }


def _fits(values: dict[str, Any], known: Sequence[str]) -> list[str]:
    fitting = [kind for kind in known if all(name in values for name in FIELDS[kind])]
    return [kind for kind in fitting if LESS.get(kind) not in fitting]


def _fitting(config: Data, row: Row, eats: Eats) -> str:
    values = mapped(config, row)
    fitting = _fits(values, FORMATS[eats])
    if len(fitting) > 1:
        raise UserError(f"{row.place}: two formats fit, {' and '.join(fitting)}; name one as data.format")
    if fitting:
        return fitting[0]
    others = _fits(values, [kind for kind in FIELDS if kind not in FORMATS[eats]])
    if others:
        most = max(others, key=lambda kind: len(FIELDS[kind]))
        feeds = next(FEEDS[eater] for eater in FEEDS if most in FORMATS[eater])
        raise UserError(
            f"{row.place}: looks like {most}, which feeds {feeds}; {FEEDS[eats]} takes {_or(FORMATS[eats])}"
        )
    known = {name for kind in FORMATS[eats] for name in FIELDS[kind]}
    close = next((hint for name in values if (hint := near(name, known))), "")
    has = ", ".join(f"`{name}`" for name in values)
    raise UserError(f"{row.place}: no format fits the fields {has}{close}; map your columns with data.columns")


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _prompt_completion(row: Row, values: dict[str, Any]) -> Conversation:
    prompt, completion = _text(row, values, "prompt"), _text(row, values, "completion")
    return messages.conversation(row, [Message("user", prompt), Message("assistant", completion)], [], prompt)


def _alpaca(row: Row, values: dict[str, Any]) -> Conversation:
    instruction, output = _text(row, values, "instruction"), _text(row, values, "output")
    more = values.get("input")
    if more is not None and not isinstance(more, str):
        raise UserError(f"{row.place}: `input` must be a text")
    asked = f"{instruction}\n\n{more}" if more else instruction
    plain = f"### Instruction:\n{instruction}\n\n" + (f"### Input:\n{more}\n\n" if more else "") + "### Response:\n"
    return messages.conversation(row, [Message("user", asked), Message("assistant", output)], [], plain)


def _plain(row: Row, values: dict[str, Any]) -> Text:
    return Text(row, _text(row, values, "text"))


def _labelled(config: Data, row: Row, labels: tuple[str, ...]) -> Labelled:
    values = mapped(config, row)
    label = _label(row, values)
    numbered = (
        type(label) is int and str(label) not in labels and config.labels is not None and 0 <= label < len(labels)
    )
    name = labels[label] if numbered else str(label)
    if name not in labels:
        raise UserError(f"{row.place}: unknown label `{name}`{near(name, labels)}; known are {', '.join(labels[:20])}")
    return Labelled(row, _text(row, values, "text"), name, labels, config.template or DEFAULT_TEMPLATE)


def _told(config: Data, row: Row, labels: tuple[str, ...]) -> Told:
    template = config.template or "{text}"
    if labels:
        named = _labelled(config, row, labels)
        return Told(row, replace(named, template=template), labels.index(named.label), named.label)
    values = mapped(config, row)
    valued = Labelled(row, _text(row, values, "text"), "", labels, template)
    return Told(row, valued, preferences.number(row, values["label"], "label", " for objective=regress"), None)


def _label(row: Row, values: dict[str, Any]) -> Any:
    label = values["label"]
    if not isinstance(label, str | int) or not str(label).strip():
        raise UserError(f"{row.place}: `label` must be a text or a whole number, and not empty")
    return label


def _text(row: Row, values: dict[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise UserError(f"{row.place}: `{name}` must be a text, not {type(value).__name__}")
    if not value.strip():
        raise UserError(f"{row.place}: `{name}` is empty")
    return value


_READERS: dict[str, Callable[[Row, dict[str, Any]], Form]] = {
    "messages": messages.chat,
    "sharegpt": messages.sharegpt,
    "prompt-completion": _prompt_completion,
    "alpaca": _alpaca,
    "text": _plain,
}
