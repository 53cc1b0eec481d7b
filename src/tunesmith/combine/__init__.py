"""Adapters as files: list them, look into them, combine several into one, compare two, draw one from a tuned model.

    from tunesmith.combine import Way, combine, compare, listed, read

    combine([Path("a"), Path("b")], Path("both"), Way("ties", weights=(1, 0.5), density=0.4))

All of it works on the files alone, no base is opened; but for `combine.extract`, which compares two models.
"""

from tunesmith.combine.compare import Comparison, compare
from tunesmith.combine.formulas import HOW
from tunesmith.combine.join import Combined, combine
from tunesmith.combine.read import Parts, listed, read
from tunesmith.combine.way import Way

__all__ = ["HOW", "Combined", "Comparison", "Parts", "Way", "combine", "compare", "listed", "read"]
