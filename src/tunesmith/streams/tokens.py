"""Examples of text into the packed passes of each step: a pure function of the step's number."""

from collections.abc import Callable, Sequence

from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.core.order import step_indices


def token_stream(
    examples: Sequence[Example], *, seed: int, batch_size: int, tokens_per_pass: int, share: bool = True
) -> Callable[[int], list[TokenBatch]]:
    """-> the passes of a step. A pass holds at most `tokens_per_pass` tokens, or one longer example.

    `share`: a beginning that all examples of a pass have in common is computed once; not for methods whose layers
    draw random numbers for each token.
    """

    def passes(step: int) -> list[TokenBatch]:
        chosen = [examples[i] for i in step_indices(seed, len(examples), batch_size, step)]
        return [pack(group, share=share) for group in fitted(chosen, tokens_per_pass)]

    return passes


def fitted(examples: Sequence[Example], limit: int) -> list[list[Example]]:
    """Few groups of at most `limit` tokens: each example, the longest first, goes where it first fits."""
    groups: list[list[Example]] = []
    room: list[int] = []
    for example in sorted(examples, key=len, reverse=True):
        place = next((i for i, left in enumerate(room) if len(example) <= left), None)
        if place is None:
            groups.append([example])
            room.append(limit - len(example))
        else:
            groups[place].append(example)
            room[place] -= len(example)
    return groups
