"""How like a subject pictures are, on a scale with two ends that were measured; and how like single pictures of it.

s(x)   = mean over real pictures r of the subject of cos(x, r)
f(x)   = (s(x) - floor) / (ceiling - floor)
ceiling: the mean cosine of two real pictures of the subject; floor: of one and another subject of its class

So 1 is as like as two real pictures of it are, and 0 as like as another one of the class. A bare cosine says neither.

Shapes: N pictures, R real ones of the subject, O of others, D width. All vectors have length 1.
"""

from dataclasses import dataclass

import numpy as np

from tunesmith.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Anchors:
    """A scale for one subject and one encoder."""

    real: np.ndarray  # (R, D)
    floor: float
    ceiling: float

    @classmethod
    def of(cls, real: np.ndarray, others: np.ndarray) -> "Anchors":
        """Raises UserError where the encoder cannot tell the subject from others of its class."""
        if len(real) < 2:
            raise UserError(f"{len(real)} picture of the subject: two distinct ones are needed")
        floor, ceiling = float((real @ others.T).mean()), float(_pairs(real).mean())
        if ceiling <= floor:
            raise UserError(
                f"the pictures of the subject are no more alike ({ceiling:.2f}) than it and others are ({floor:.2f}): "
                "the encoder cannot tell it"
            )
        return cls(real, floor, ceiling)

    def similarity(self, made: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,), the bare cosine."""
        return (made @ self.real.T).mean(1)

    def likeness(self, made: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,), on the scale: 0 another of the class, 1 the subject."""
        return (self.similarity(made) - self.floor) / (self.ceiling - self.floor)


def closest(real: np.ndarray) -> float:
    """(R, D) -> the largest cosine of two of them: what is nearer than that to one is taken for a copy of it."""
    return float(_pairs(real).max())


def nearest(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(N, D), (R, D) -> (N,): the cosine with the nearest real picture."""
    return (made @ real.T).max(1)


def diversity(made: np.ndarray) -> float:
    """(N, D) -> 1 less the mean cosine of two pictures: 0 where all are one."""
    return float(1 - _pairs(made).mean())


def _pairs(vectors: np.ndarray) -> np.ndarray:
    """-> the cosine of each two of them."""
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
