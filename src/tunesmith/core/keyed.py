"""Random numbers as a function of a key, a purpose and a step: drawn again after a resumption they are the same.

The generator is Philox with a key of 128 bits (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011,
https://doi.org/10.1145/2063384.2063405). A generator that is started from a number of 32 bits, as torch's is on a
processor, can be started with each of them in turn, until noise that should hide something is known.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, Philox


@dataclass(frozen=True, slots=True)
class Keyed:
    key: bytes

    def generator(self, purpose: str, step: int) -> Generator:
        """-> a generator of its own for each purpose and step."""
        digest = hashlib.sha256(b"\0".join((self.key, purpose.encode(), str(step).encode()))).digest()
        return Generator(Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))
