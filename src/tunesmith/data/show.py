"""An example as pieces of text, trained or context, for a person to look at."""

from typing import TYPE_CHECKING

from tunesmith.core.batch import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def spans(example: Example, tokenizer: "PreTrainedTokenizerBase") -> list[tuple[str, bool]]:
    """-> (text, trained) in order, special tokens written out."""
    runs: list[tuple[list[int], bool]] = []
    for token, trained in zip(example.tokens, example.trained, strict=True):
        if not runs or runs[-1][1] != trained:
            runs.append(([], trained))
        runs[-1][0].append(token)
    pieces, done, written = [], [], ""
    for n, (tokens, trained) in enumerate(runs, start=1):
        done += tokens
        # Decoded from the start: a run decoded alone would lose its leading space in some tokenizers.
        whole = str(tokenizer.decode(done, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        if n < len(runs):
            whole = whole.rstrip("\ufffd")  # a character that is not complete yet is shown with the next run
        pieces.append((whole[len(written) :], trained))
        written = whole
    return pieces
