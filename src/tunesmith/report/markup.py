"""HTML that cannot forget to escape: whatever is not `Html` already is text."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_ALONE = {"meta", "br", "hr", "img"}


class Html(str):
    """Markup that is safe to put into a page as it stands."""


def html(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value)))


def element(tag: str, /, *children: object, **attributes: object) -> Html:
    """`element("td", "a < b", class_="number")`; an attribute that is None or False is left out."""
    inner = "".join(html(child) for child in children)
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{given}>" if tag in _ALONE else f"<{tag}{given}>{inner}</{tag}>")


def joined(parts: Iterable[object]) -> Html:
    return Html("".join(html(part) for part in parts))


def paragraph(*children: object, class_: str | None = None) -> Html:
    return element("p", *children, class_=class_)


def code(text: object) -> Html:
    return element("code", text)


def listing(text: str) -> Html:
    """Lines to copy."""
    return element("pre", element("code", text))


def pairs(rows: Iterable[tuple[object, object]]) -> Html:
    """A table of names and values."""
    lines = (element("tr", element("th", name, scope="row"), element("td", value)) for name, value in rows)
    return element("table", element("tbody", *lines), class_="pairs")


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], numbers: Iterable[int] = (), kind: str = ""
) -> Html:
    """The first column names the row; the columns in `numbers` are set flush right with figures of one width."""
    right = set(numbers)

    def style(column: int) -> str | None:
        return "number" if column in right else None

    top = element("tr", *(element("th", cell, scope="col", class_=style(i)) for i, cell in enumerate(head)))
    lines = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=style(i)) for i, cell in enumerate(row[1:], start=1)),
        )
        for row in rows
    ]
    inner = element("table", element("thead", top), element("tbody", *lines), class_=kind or None)
    return element("div", inner, class_="wide")


def flattened(mapping: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    """Nested keys as dotted ones, in their order."""
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def shown(value: Any) -> str:
    """A value of JSON or YAML as a person would write it."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value) or "none"
    return str(value) if value != {} else "none"
