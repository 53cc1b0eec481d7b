"""Suites: what a tuning changed, asked of base and tuned model on the same items. One file a suite."""

from tunesmith.suites import (
    bbq,
    calibration,
    crows_pairs,
    drift,
    general,
    memorisation,
    occupations,
    refusals,
    slices,
    task,
)
from tunesmith.suites.suite import Suite

SUITES: dict[str, Suite] = {
    module.SUITE.name: module.SUITE
    for module in (task, general, slices, calibration, drift, memorisation, crows_pairs, occupations, bbq, refusals)
}
"""By name, in the order in which they are asked."""
