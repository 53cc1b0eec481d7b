"""`tunesmith bases --advise DATA`: the bases on this machine side by side on some rows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.advice import Standing


def print_advice(data: str, others: list[str], as_json: bool) -> None:
    from tunesmith.advice import advise, on_disk
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError
    from tunesmith.core.files import dump

    names = [*on_disk(), *others]
    if not names:
        raise UserError("no base is on this machine: get one with `tunesmith bases --get smollm2-135m`, or name --base")
    found = advise(data, names, to_stderr)
    if as_json:
        print(dump(found.document()), end="")
        return
    print(f"{'base':32} {'bits/byte':>9} {'labels right':>12} {'tokens/byte':>11} {'seconds':>8}")
    for one in found.standings:
        print(_line(one))
    print(f"\n{found.sentence}.")


def _line(one: "Standing") -> str:
    if one.cannot is not None:
        return f"{one.name:32} cannot: {one.cannot}"
    right = "" if one.accuracy is None else f"{100 * one.accuracy:.1f} %"
    numbers = f"{one.bits_per_byte:9.3f} {right:>12} {one.tokens / max(1, one.bytes):11.3f} {one.seconds:8.1f}"
    return f"{one.name:32} {numbers}" + "".join(f"\n  note: {note}" for note in one.notes)
