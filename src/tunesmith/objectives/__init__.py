"""Everything a run can optimize. A new one is one file here and one name in this union."""

from tunesmith.objectives.sft import SFT

AnyObjective = SFT  # becomes a union, discriminated by `kind`, with the second objective
