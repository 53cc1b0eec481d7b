"""The answer in one sentence: what was learned, what was forgotten, what it cost. Every word follows from a number."""

from typing import Any

from tunesmith.report.document import RunResult
from tunesmith.report.folder import RunFiles
from tunesmith.report.numbers import duration, metric, share, size

_HEADLINES = (
    "reward",
    "preference_accuracy",
    "picture_preference",
    "accuracy",
    "r2",
    "unwanted_loss",
    "perplexity",
    "denoising_loss",
)
_LITTLE, _MUCH = 0.02, 0.10  # of the perplexity on general text


def answer(files: RunFiles) -> str:
    """-> one sentence about the run."""
    result = files.result
    if result is None:
        return "What became of this run cannot be said: its result is missing."
    if result.status == "failed":
        return f"This run failed: {_sentence(result.message or 'no reason was written down')}"
    if result.status == "interrupted":
        steps = f" after {result.train.steps} steps" if result.train else ""
        return f"This run was interrupted{steps}: {_sentence(result.message or 'the same command goes on with it')}"
    subject = _subject(result)
    parts = [_learned(files), _forgotten(files)] if subject is None else [subject]
    return "; ".join([*parts, _cost(files)]) + "."


def _subject(result: RunResult) -> str | None:
    """-> of a subject that was judged: how like it is, whether prompts are kept, and what became of its class."""
    found = result.fidelity
    like, slots, drift = (found.get(name) for name in ("subject.likeness", "prompts.slots", "class.drift"))
    if like is None:
        return None
    before, after = (metric("likeness").value(value) for value in (like.base, like.tuned))
    begin = _OF_SUBJECT.get(like.verdict, "No gain in likeness to the subject could be shown")
    scale = "0 % is another of its class, 100 % two real pictures of it"
    parts = [f"{begin}: likeness ({scale}) went from {before} to {after}"]
    if slots is not None:
        before, after = (metric("slots").value(value) for value in (slots.base, slots.tuned))
        parts.append(f"it keeps {after} of what prompts ask for, the base {before}")
    if drift is not None:
        parts.append(f"answers to its class moved by {drift.tuned:.2g} (mean square)")
    return "; ".join(parts)


_OF_SUBJECT = {"better": "The model learned the subject", "worse": "The model got worse at the subject"}


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


def values(files: RunFiles, name: str) -> tuple[float, float] | None:
    """-> a metric before and after, or None where it was not measured."""
    before, after = (number(files.evaluation.get(side), name) for side in ("before", "after"))
    return None if before is None or after is None else (before, after)


def number(mapping: Any, name: str) -> float | None:
    value = mapping.get(name) if isinstance(mapping, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def verdict(files: RunFiles, name: str) -> str:
    """-> the fixed words, or nothing."""
    words = files.evaluation.get("verdict")
    return str(words.get(name, "")) if isinstance(words, dict) else ""


def headline(files: RunFiles) -> str | None:
    """-> the metric that the answer speaks of."""
    return next((name for name in _HEADLINES if values(files, name)), None)


def _learned(files: RunFiles) -> str:
    name = headline(files)
    if name is None:
        return "The model was tuned, but what it learned was not measured"
    before, after = values(files, name) or (0.0, 0.0)
    how, words = metric(name), verdict(files, name)
    rows = number(files.evaluation, "n")
    where = f" on {rows:,.0f} held-out rows" if rows else ""
    moved = f"{_lower_first(how.label)}{where} went from {how.value(before, after)} to {how.value(after, before)}"
    if words == "better":
        return f"The model learned the task: {moved}{_against_majority(files, name, after)}"
    if words == "worse":
        return f"The model got worse at the task: {moved}"
    if words:
        return f"No gain on the task could be shown: {moved}, which may be chance"
    return f"The model was tuned: {moved}"


def _against_majority(files: RunFiles, name: str, after: float) -> str:
    most = number(files.evaluation, "majority")
    if name != "accuracy" or most is None:
        return ""
    if after <= most:
        return f", which is no more than always saying the most frequent label gives ({share(most)})"
    return f" (always saying the most frequent label gives {share(most)})"


def _lower_first(label: str) -> str:
    return label[0].lower() + label[1:]


def _forgotten(files: RunFiles) -> str:
    found = values(files, "general_perplexity")
    if found is None:
        return "what it forgot was not measured"
    before, after = found
    how, words = metric("general_perplexity"), verdict(files, "general_perplexity")
    moved = f"perplexity on general text went from {how.value(before, after)} to {how.value(after, before)}"
    if words == "worse":
        rise = after / before - 1
        amount = "a little" if rise < _LITTLE else "much" if rise > _MUCH else "some"
        return f"it forgot {amount}: {moved}"
    if words == "better":
        return f"it forgot nothing that was measured: {moved}"
    return f"no forgetting could be detected: {moved}"


def _cost(files: RunFiles) -> str:
    result = files.result
    assert result is not None
    if result.train is None and result.artifact is None:
        return "what it cost was not written down"
    took = gave = ""
    if result.train is not None:
        time, memory = duration(result.train.seconds), size(result.train.peak_memory_bytes)
        took = f"training took {time} and at most {memory} of memory"
    if result.artifact is not None:
        kind = {"full": "a model", "token": "a word"}.get(result.method, "an adapter")
        gave = f"gave {kind} of {size(result.artifact.bytes)}"
    return f"{took}, and {gave}" if took and gave else took or f"the run {gave}"
