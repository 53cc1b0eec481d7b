"""What a number of noisy steps gives away at most: epsilon at a delta, for the Gaussian mechanism on drawn rows.

Adding or removing one row changes what may come out by a factor of at most e^epsilon, but for the chance delta.
The number is that of opacus, by the distribution of the privacy loss (Gopi, Lee and Wutschitz, Numerical composition
of differential privacy, 2021, https://arxiv.org/abs/2106.02848). It must lie below a bound of another kind, by moments:

R(a) = 1 / (a - 1) log sum_k C(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 s^2))   a = 2, 3, ...
epsilon = min_a  T R(a) + log((a - 1) / a) - (log delta + log a) / (a - 1)

q: the chance of a row to be drawn, s: the noise, T: the steps. Mironov, Talwar and Zhang, Renyi differential privacy of
the sampled Gaussian mechanism (2019), https://arxiv.org/abs/1908.10530, section 3.3; the conversion is theorem 21 of
Balle et al., Hypothesis testing interpretations and Renyi differential privacy (2020), https://arxiv.org/abs/1905.09982.
"""

import math
import warnings
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp

from tunesmith.core.errors import RunFailed, UserError

LOOSE = 30.0  # beyond this bound the exact number takes minutes and tells nobody anything
ERROR = 0.01  # of the exact number
FEWEST, MOST = 0.05, 1000.0  # noise that is tried
NEAR = 0.005  # of the wanted epsilon
_ORDERS = np.unique(np.concatenate([np.arange(2, 64), np.geomspace(64, 4096, 80).astype(int)]))


def bound(noise: float, share: float, steps: int, delta: float) -> float:
    """-> epsilon, by moments: quick, and never too small."""
    if noise == 0:
        return math.inf
    moments = np.array([_moment(int(order), noise, share) for order in _ORDERS])
    a = _ORDERS.astype(float)
    found = steps * moments + np.log1p(-1 / a) - (math.log(delta) + np.log(a)) / (a - 1)
    return max(0.0, float(found.min()))


@lru_cache(maxsize=4096)
def _moment(order: int, noise: float, share: float) -> float:
    if share == 1:
        return order / (2 * noise**2)
    k = np.arange(order + 1, dtype=float)
    ways = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    drawn = (order - k) * math.log1p(-share) + k * math.log(share)
    return float(logsumexp(ways + drawn + (k * k - k) / (2 * noise**2))) / (order - 1)


def epsilon(noise: float, share: float, steps: int, delta: float) -> float:
    """-> what `steps` steps give away. Raises RunFailed when the two ways of counting disagree."""
    above = bound(noise, share, steps, delta)
    if above > LOOSE:
        return above
    found = _exact(noise, share, steps, delta)
    if not found <= above + ERROR:
        raise RunFailed(
            f"two ways to count privacy disagree: {found:.4g}, where {above:.4g} is a bound "
            f"(noise {noise:.4g}, share {share:.4g}, {steps} steps, delta {delta:.3g}); nothing is promised"
        )
    return min(found, above)


def _exact(noise: float, share: float, steps: int, delta: float) -> float:
    try:
        from opacus.accountants import PRVAccountant
    except ImportError:
        raise UserError(
            "train.privacy: opacus, which counts what is given away, is not installed; "
            "run `pip install 'tunesmith[privacy]'`"
        ) from None
    accountant = PRVAccountant()
    accountant.history = [(noise, share, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of moments that it tries and does not use
        return float(accountant.get_epsilon(delta, eps_error=ERROR))


def noise_for(wanted: float, share: float, steps: int, delta: float) -> tuple[float, float]:
    """-> the least noise that keeps to `wanted`, within half a percent of it, and the epsilon that it gives.

    Raises UserError where no noise does.
    """
    low, high = FEWEST, MOST
    if bound(high, share, steps, delta) > wanted:
        raise UserError(f"train.privacy.epsilon: no noise gives {wanted:g} over {steps} steps; take fewer, or a larger")
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if bound(middle, share, steps, delta) <= wanted else (middle, high)
    return _sharpened(wanted, high, share, steps, delta)


def _sharpened(wanted: float, noise: float, share: float, steps: int, delta: float) -> tuple[float, float]:
    """From noise that is more than enough by the bound down to what the exact number allows: a few of them are dear."""
    found = epsilon(noise, share, steps, delta)
    enough, power = (noise, found), 1.0
    for _ in range(8):
        if wanted * (1 - NEAR) <= enough[1] <= wanted:
            break
        # Epsilon falls like a power of the noise, nearly; aimed a little below, so as to end on the safe side.
        nearer = noise * (found / (wanted * (1 - NEAR / 2))) ** (1 / power)
        now = epsilon(nearer, share, steps, delta)
        power = min(2.5, max(0.5, math.log(found / now) / math.log(nearer / noise)))
        noise, found = nearer, now
        if found <= wanted and noise < enough[0]:
            enough = (noise, found)
    return enough
