"""The metrics of a comparison: what each needs to know of an item, and how items become a number."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunesmith.evaluate import text
from tunesmith.evaluate.before_after import loss, perplexity
from tunesmith.evaluate.items import Measured
from tunesmith.evaluate.statistics import Measure


@dataclass(frozen=True, slots=True)
class Metric:
    rows: Callable[[Measured], np.ndarray]  # (N, C)
    measure: Measure
    higher_is_better: bool
    share: bool  # of items, 0 to 1


def _right(found: Measured) -> np.ndarray:
    return np.array([[o.predicted == o.gold] for o in found.outcomes], float)


def _preferred(found: Measured) -> np.ndarray:
    return np.array([[o.preference[0]] for o in found.outcomes if o.preference], float)


def _exact(found: Measured) -> np.ndarray:
    written = [o for o in found.outcomes if o.answer is not None]
    return np.array([text.exact_match([o.answer or "" for o in written], [o.reference for o in written])], float).T


def _likelihood(found: Measured) -> np.ndarray:
    return np.array([(o.nll, o.tokens) for o in found.outcomes], float)


def _losses(found: Measured) -> np.ndarray:
    """Of pictures: each has a mean squared error."""
    return np.array([[o.nll] for o in found.outcomes], float)


def _general(found: Measured) -> np.ndarray:
    return np.array([(nll, tokens) for nll, tokens, _ in found.general], float)


def _general_right(found: Measured) -> np.ndarray:
    return np.array([(right, tokens) for _, tokens, right in found.general], float)


def _mean(rows: np.ndarray) -> np.ndarray:
    """(R, N, 1) -> (R,)."""
    return rows[..., 0].mean(-1)


METRICS = {
    "accuracy": Metric(_right, _mean, True, True),
    "preference_accuracy": Metric(_preferred, _mean, True, True),
    "exact_match": Metric(_exact, _mean, True, True),
    "perplexity": Metric(_likelihood, perplexity, False, False),
    "denoising_loss": Metric(_losses, _mean, False, False),
    "general_perplexity": Metric(_general, perplexity, False, False),
    "general_accuracy": Metric(_general_right, loss, True, False),  # right tokens over tokens, a loss by its form
}


def of_task(found: Measured) -> str:
    """-> the metric of the quality: of pairs, of labels, of written answers where there are any, or the likelihood."""
    some = found.outcomes[0]
    if some.preference is not None:
        return "preference_accuracy"
    return "accuracy" if some.gold is not None else "exact_match" if some.answer is not None else "perplexity"
