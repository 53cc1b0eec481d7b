"""What some plans give away, counted in three ways: as runs count it, by moments, and by dp-accounting.

    pip install --target somewhere --no-deps dp-accounting dm-tree wrapt
    PYTHONPATH=somewhere python scripts/check_privacy.py

dp-accounting (Google) asks for an older `attrs` than other libraries have, so it is no dependency, not even of tests.
"""

from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from tunesmith.train.accountant import bound, epsilon

PLANS = (
    (0.8, 0.03, 300, 2e-4),
    (1.0, 0.01, 1000, 1e-5),
    (2.0, 0.2, 50, 1e-4),
    (10.0, 0.02, 100, 1e-4),
)
"""Noise, share, steps, delta."""


def main() -> None:
    for noise, share, steps, delta in PLANS:
        accountant = PLDAccountant()
        accountant.compose(SelfComposedDpEvent(PoissonSampledDpEvent(share, GaussianDpEvent(noise)), steps))
        other = accountant.get_epsilon(delta)
        own, above = epsilon(noise, share, steps, delta), bound(noise, share, steps, delta)
        print(f"({noise}, {share}, {steps}, {delta}, {other:.4f}),  # opacus {own:.4f}, bound by moments {above:.4f}")


if __name__ == "__main__":
    main()
