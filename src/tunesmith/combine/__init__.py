"""Adapters as files: list them, look into them, combine several into one, compare two, draw one from a tuned model.

    from tunesmith.combine import combine, compare, extract, listed, read

Everything but `extract` works on the files alone: no base is opened.
"""

from tunesmith.combine.compare import Comparison, compare
from tunesmith.combine.formulas import HOW
from tunesmith.combine.join import Combined, combine
from tunesmith.combine.read import Parts, listed, read
from tunesmith.combine.way import Way

__all__ = ["HOW", "Combined", "Comparison", "Parts", "Way", "combine", "compare", "listed", "read"]
