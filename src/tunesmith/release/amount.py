"""An amount in a policy: a number, `2 %`, `1.5 points` or `50 MB`."""

import re
from dataclasses import dataclass
from typing import Literal

from tunesmith.core.errors import UserError

Unit = Literal["", "%", "points", "bytes"]
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_WRITTEN = re.compile(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(%|points?|kB|MB|GB|B)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Amount:
    """A limit, as it was written and as a number."""

    number: float
    unit: Unit
    written: str

    def of(self, base: float) -> float:
        """-> the amount of a change, in the metric's own unit: a percentage is one of what the base has."""
        return self.number / 100 * abs(base) if self.unit == "%" else self.level

    @property
    def level(self) -> float:
        """-> the amount that a metric may have: a percentage is a share of one, and a point a hundredth."""
        return self.number / 100 if self.unit in ("%", "points") else self.number


def parse_amount(value: object) -> Amount:
    """Raises ValueError for what is no amount. (pydantic adds the key.)"""
    if isinstance(value, Amount):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UserError("must be a number, or one with a unit: `2 %`, `1.5 points`, `50 MB`")
    text = str(value).strip()
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise UserError(f"`{text}` is no amount; write a number, or one with a unit: `2 %`, `1.5 points`, `50 MB`")
    number, unit = float(found[1]), (found[2] or "").lower()
    sizes = {name.lower(): factor for name, factor in _SIZES.items()}
    if unit in sizes:
        return Amount(number * sizes[unit], "bytes", text)
    return Amount(number, "%" if unit == "%" else "points" if unit else "", text)
