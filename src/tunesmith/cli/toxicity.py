"""`--toxicity FOLDER`: a classifier of your own as the doctor's scorer of toxic rows."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tunesmith.core.errors import UserError

Scorer = Callable[[Sequence[str]], Sequence[float]]
_HARMLESS = ("non", "not", "no", "un", "neutral", "normal", "clean", "ok")


def local_judge(given: str) -> tuple[str, Callable[[], Scorer]]:
    """`FOLDER` or `FOLDER:LABEL` -> its name, and what opens it. UserError for what is no classifier."""
    folder, label = given, ""
    if not Path(given).exists() and ":" in given:
        folder, _, label = given.rpartition(":")
    if not Path(folder).is_dir():
        raise UserError(f"--toxicity: no such folder: {folder}; name a run of objective=classify or a model folder")

    def opened() -> Scorer:
        from tunesmith.scorer import load_scorer

        scorer = load_scorer(folder)
        if scorer.head.problem == "regression" or scorer.rewards_answers:
            raise UserError(f"--toxicity: {folder} gives numbers and no labels; name a classifier")
        toxic = _toxic_label(scorer.head.labels, label, folder)
        return lambda texts: [found["probabilities"][toxic] for found in scorer.score(texts)]

    return folder, opened


def _toxic_label(labels: Sequence[str], asked: str, folder: str) -> str:
    """-> the label that stands for toxic texts: the one that was named, or the only one that says so."""
    if asked in labels:
        return asked
    known = ", ".join(labels)
    if asked:
        raise UserError(f"--toxicity: {folder} has no label `{asked}`; it has {known}")
    said = [one for one in labels if "toxic" in one.lower() and not one.lower().startswith(_HARMLESS)]
    if len(said) != 1:
        raise UserError(f"--toxicity: which label of {folder} is the toxic one? write {folder}:LABEL, of {known}")
    return said[0]
