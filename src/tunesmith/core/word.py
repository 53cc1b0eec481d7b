"""A word that a model is taught: textual inversion learns what it means, and nothing else of the tables of words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """What stands in captions and prompts for something that no word says yet."""

    token: str
    init: str  # a word that the tables know; its meaning is where the new one begins
    vectors: int = 1

    @property
    def tokens(self) -> tuple[str, ...]:
        """One for each vector; the first stands for all of them in a text, as diffusers has it."""
        return (self.token, *(f"{self.token}_{number}" for number in range(1, self.vectors)))
