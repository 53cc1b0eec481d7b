"""The prompts by which a subject is judged: it alone, before other colours, small, and at other places."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.fidelity.slots import Slots, slots_of

TEMPLATES = (
    "{}",
    "{}, on a red background",
    "{}, on a blue background",
    "{}, on a green background",
    "{}, on a yellow background",
    "{}, on a purple background",
    "{}, small, on the left",
    "{}, small, on the right",
    "{}, small, at the top",
    "{}, small, at the bottom",
    "{}, small, on the left, on an orange background",
    "{}, small, on the right, on a teal background",
)
"""Twelve, since a verdict over prompts needs six, and half of them show large changes alone."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One prompt, and the same with the class in the place of the subject."""

    prompt: str
    twin: str

    @property
    def slots(self) -> Slots:
        return slots_of(self.prompt)


def settings_of(subject: str, of_class: str | None, prompts: Sequence[str] = ()) -> list[Setting]:
    """-> a setting for each of `prompts`, or of `TEMPLATES` where none is given, in their order, each once."""
    texts = list(prompts) or [template.format(subject) for template in TEMPLATES]
    return [Setting(text, twin_of(text, subject, of_class)) for text in dict.fromkeys(texts)]


def twin_of(text: str, subject: str, of_class: str | None) -> str:
    """-> the prompt for one that never heard of the subject; the prompt itself where it has no class.

    `a zwx cat`, `a cat`: what stands in `the zwx cat in the snow` is `zwx cat`, and its twin `the cat in the snow`.
    """
    if of_class is None:
        return text
    own, other = subject.split(), of_class.split()
    while own and other and own[0] == other[0] and len(own) > 1 and len(other) > 1:
        own, other = own[1:], other[1:]
    return text.replace(" ".join(own), " ".join(other))
