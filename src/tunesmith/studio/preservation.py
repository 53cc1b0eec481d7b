"""Suite `class`: is the class of the subject still what it was?

drift         mean squared distance of the tuned model's answers from the base's on noisy pictures, under prompts of the
              class, at fixed noise; needs no sampling and no encoder
diversity     1 less the mean cosine of two pictures of one prompt of the class: falls where all become one
class_likeness  the likeness of pictures of the class to the subject: rises where the subject takes the class over

The last two are DIV and PRES of https://arxiv.org/abs/2208.12242, by the small encoder and on its scale.
"""

from dataclasses import replace
from typing import Any

import torch

from tunesmith.evaluate.family import Gathered
from tunesmith.fidelity.anchors import diversity
from tunesmith.streams.latents import judged
from tunesmith.studio.judge import LEVELS, answers
from tunesmith.studio.likeness import Asked, seen


def of_class(asked: Asked) -> tuple[Gathered, dict[str, Any]]:
    """-> the metrics; there is no table."""
    family = asked.family()
    twins = asked.twins
    moved, names = _drifts(asked, list(dict.fromkeys(twins)))
    family.means(
        "drift", [[0.0] * len(moved), moved], "neither", names, unit=0.0
    )  # no size of it is the one that matters
    anchors = asked.anchors(asked.encoder)
    both = [seen(asked.encoder, pictures) for pictures in asked.of_class()]
    each = len(both[0]) // len(twins)
    groups = [[made[start : start + each] for start in range(0, len(made), each)] for made in both]
    family.means("diversity", [[diversity(group) for group in side] for side in groups], "higher")
    names = [twin for twin in twins for _ in range(each)]
    family.means("class_likeness", [anchors.likeness(made).tolist() for made in both], "lower", names)
    return family, {}


def _drifts(asked: Asked, twins: list[str]) -> tuple[list[float], list[str]]:
    """-> how far each answer moved, and the prompt that it is an answer to."""
    feed = asked.sides.feed
    pictures = list({p.sha256: p for p in (*feed.opened.prepared.train, *feed.opened.prepared.validation)}.values())
    batches = [
        batch
        for place, twin in enumerate(twins)
        for batch in judged(
            replace(feed.store.latent(pictures[place % len(pictures)], 0), caption=twin),
            feed.teller,
            feed.judging,
            LEVELS,
        )
    ]
    with asked.sides.base() as base:
        before = torch.stack(answers(base, batches, feed))
    apart = (torch.stack(answers(asked.sides.model, batches, feed)) - before) ** 2
    return apart.flatten(1).mean(1).tolist(), [twin for twin in twins for _ in range(LEVELS)]
