"""From what the base and the tuned model did on the same items to the document of the evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from tunesmith.evaluate import calibration, text, values
from tunesmith.evaluate import labels as scores
from tunesmith.evaluate.statistics import RESAMPLES, Difference, paired_difference, paired_statistic

_HIGHEST = 700.0  # exp of more is no number of a float: the perplexity of a broken model stays readable as JSON
_FEWEST = 2_000  # resamples: the ends of an interval then vary by 1.5 % of its width
_WORK = 20_000_000  # items times resamples


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one model did on one item."""

    row: int
    nll: float  # the sum over the answer's tokens of -log p, in nats
    tokens: int  # how many those were
    predicted: str | None = None
    gold: str | None = None
    answer: str | None = None  # what the model wrote, when it was asked to
    reference: str = ""
    preference: tuple[float, float] | None = None  # of compared answers: the share of right pairs, how far apart (nats)
    wanted: bool | None = None  # of a rated answer
    reward: float | None = None  # what its own answer is worth
    probabilities: tuple[float, ...] | None = None  # that a head gives to each label
    value: tuple[float, float] | None = None  # that a head gives to a text, and the one that it has


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Before, after, and what the difference is worth, by the name of the metric."""

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    difference: dict[str, dict[str, float]] = field(default_factory=dict)
    verdict: dict[str, str] = field(default_factory=dict)
    n: int = 0
    confusion: dict[str, Any] | None = None
    majority: float | None = None
    calibration: dict[str, Any] | None = None
    mean_baseline: dict[str, float] | None = None

    def joined(self, other: "Evaluation") -> "Evaluation":
        """Both as one document: the metrics of `other` are added, and what this one does not hold."""
        return Evaluation(
            self.before | other.before,
            self.after | other.after,
            self.difference | other.difference,
            self.verdict | other.verdict,
            self.n,
            self.confusion,
            self.majority,
            self.calibration or other.calibration,
            self.mean_baseline or other.mean_baseline,
        )

    def document(self) -> dict[str, Any]:
        """-> what `evaluation.json` holds; `confusion` and `majority` only for labelled items."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def compare(
    before: Sequence[Outcome], after: Sequence[Outcome], labels: Sequence[str] = (), resamples: int | None = None
) -> Evaluation:
    """Compare two models on the same items, in the same order.

    `loss` (nats per token) and `perplexity`: of compared answers the best one's, beside `preference_accuracy` and
    `preference_margin`; of rated answers the wanted ones', beside `unwanted_loss`. With `labels` and gold labels:
    `accuracy`, `macro_f1`, the confusion tables and the share of the most frequent label, and with probabilities
    what `calibration` adds. With values what `values` adds. Where both wrote answers:
    `exact_match`, `rouge_l` and `chrf`. `resamples`: None for 10,000, fewer where there are thousands of items.
    """
    assert [o.row for o in before] == [o.row for o in after], "a paired comparison needs the same rows on both sides"
    resamples = resamples or _draws(len(before))
    found = _likely(before, after, resamples)
    if before and all(o.reward is not None for o in before):
        found = found.joined(_rewarded(before, after, resamples))
    compared = [i for i, o in enumerate(before) if o.preference is not None]
    if compared:
        found = found.joined(_compared([before[i] for i in compared], [after[i] for i in compared], resamples))
    places = [i for i, o in enumerate(before) if o.gold is not None and labels]
    if places:
        found = found.joined(_labelled([before[i] for i in places], [after[i] for i in places], labels, resamples))
    if places and all(o.probabilities for o in (*before, *after)):
        found = found.joined(_sure(before, after, labels, resamples))
    if before and before[0].value is not None:
        found = found.joined(_valued(before, after, resamples))
    written = [(b, a) for b, a in zip(before, after, strict=True) if b.answer is not None and a.answer is not None]
    if written:
        found = found.joined(_written(written, resamples))
    tables = _tables([before[i] for i in places], [after[i] for i in places], labels) if places else {}
    return replace(found, n=len(before), **tables)


def compare_general(
    before: Sequence[tuple[float, int, int]], after: Sequence[tuple[float, int, int]], resamples: int | None = None
) -> Evaluation:
    """Compare (nll, tokens, right ones) of each piece of a text that is not the task's: how much was forgotten.

    -> `general_loss`, `general_perplexity` and `general_accuracy`; join it to the evaluation of the task.
    """
    first, second = np.array(before, float).reshape(-1, 3), np.array(after, float).reshape(-1, 3)
    resamples = resamples or _draws(len(before))
    found = _likelihood("general_", first[:, :2], second[:, :2], resamples)
    # Right tokens over tokens: a loss by its form.
    right, more = first[:, [2, 1]], second[:, [2, 1]]
    difference = paired_statistic(loss, right, more, higher_is_better=True, resamples=resamples)
    return found.joined(_one("general_accuracy", (_at(loss, right), _at(loss, more)), difference))


def _draws(items: int) -> int:
    """-> resamples: all where that takes a second or two, never so few that a small p could not be told."""
    return min(RESAMPLES, max(_FEWEST, _WORK // max(1, items)))


def _counts(outcomes: Sequence[Outcome], places: Sequence[int]) -> np.ndarray:
    return np.array([(outcomes[i].nll, outcomes[i].tokens) for i in places], float)


def _rewarded(before: Sequence[Outcome], after: Sequence[Outcome], resamples: int) -> Evaluation:
    first, second = ([o.reward or 0.0 for o in side] for side in (before, after))
    difference = paired_difference(first, second, higher_is_better=True, resamples=resamples)
    return _one("reward", (float(np.mean(first)), float(np.mean(second))), difference)


def _likely(before: Sequence[Outcome], after: Sequence[Outcome], resamples: int) -> Evaluation:
    """How likely the answers are found; nothing where there are none, only numbers."""
    if not any(o.tokens for o in before):
        return Evaluation()
    if all(o.probabilities for o in before):  # one label a text: there are no words to hesitate among
        first, second = (_counts(side, range(len(side))) for side in (before, after))
        difference = paired_statistic(loss, first, second, higher_is_better=False, resamples=resamples)
        return _one("loss", (_at(loss, first), _at(loss, second)), difference)
    liked = [i for i, o in enumerate(before) if o.wanted is not False]
    found = _likelihood("", _counts(before, liked), _counts(after, liked), resamples)
    return found if len(liked) == len(before) else found.joined(_unwanted(before, after, resamples))


def _unwanted(before: Sequence[Outcome], after: Sequence[Outcome], resamples: int) -> Evaluation:
    """Answers that nobody wants: the less likely the better."""
    places = [i for i, o in enumerate(before) if o.wanted is False]
    first, second = _counts(before, places), _counts(after, places)
    difference = paired_statistic(loss, first, second, higher_is_better=True, resamples=resamples)
    return _one("unwanted_loss", (_at(loss, first), _at(loss, second)), difference)


def _compared(before: Sequence[Outcome], after: Sequence[Outcome], resamples: int) -> Evaluation:
    found = Evaluation()
    for place, name in enumerate(("preference_accuracy", "preference_margin")):
        first, second = ([o.preference[place] for o in side if o.preference] for side in (before, after))
        difference = paired_difference(first, second, higher_is_better=True, resamples=resamples)
        found = found.joined(_one(name, (float(np.mean(first)), float(np.mean(second))), difference))
    return found


def _likelihood(prefix: str, before: np.ndarray, after: np.ndarray, resamples: int) -> Evaluation:
    found = Evaluation()
    before, after = before.reshape(-1, 2), after.reshape(-1, 2)
    for name, measure in (("loss", loss), ("perplexity", perplexity)):
        difference = paired_statistic(measure, before, after, higher_is_better=False, resamples=resamples)
        found = found.joined(_one(prefix + name, (_at(measure, before), _at(measure, after)), difference))
    return found


def loss(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2) -> (R,): nats per token of the corpus, not the mean of the items' means."""
    nll, tokens = np.moveaxis(rows.sum(-2), -1, 0)
    return nll / np.maximum(tokens, 1)


def perplexity(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2) -> (R,): the exponential of the loss."""
    return np.exp(np.minimum(loss(rows), _HIGHEST))


def _at(measure: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> float:
    return float(measure(rows[None])[0])


def _labelled(before: Sequence[Outcome], after: Sequence[Outcome], labels: Sequence[str], resamples: int) -> Evaluation:
    gold, first, second = _numbered(before, after, labels)
    right = [(gold == said).astype(float).tolist() for said in (first, second)]
    accuracy = paired_difference(*right, higher_is_better=True, resamples=resamples)

    def measure(rows: np.ndarray) -> np.ndarray:
        return scores.macro_f1(rows[..., 0], rows[..., 1], len(labels))

    sides = [np.stack([gold, said], 1) for said in (first, second)]
    f1 = paired_statistic(measure, *sides, higher_is_better=True, resamples=resamples)
    return _one("accuracy", (scores.accuracy(gold, first), scores.accuracy(gold, second)), accuracy).joined(
        _one("macro_f1", (_at(measure, sides[0]), _at(measure, sides[1])), f1)
    )


def _numbered(
    before: Sequence[Outcome], after: Sequence[Outcome], labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gold = scores.numbered([o.gold for o in before], labels)
    assert (gold != scores.NONE).all(), "every gold label is one of the labels"
    first, second = (scores.numbered([o.predicted for o in side], labels) for side in (before, after))
    return gold, first, second


def _tables(before: Sequence[Outcome], after: Sequence[Outcome], labels: Sequence[str]) -> dict[str, Any]:
    gold, first, second = _numbered(before, after, labels)
    tables = (scores.table(gold, said, len(labels)) for said in (first, second))
    return {
        "confusion": {"labels": list(labels), **dict(zip(("before", "after"), tables, strict=True))},
        "majority": scores.majority(gold),
    }


def _sure(before: Sequence[Outcome], after: Sequence[Outcome], labels: Sequence[str], resamples: int) -> Evaluation:
    """Metrics `brier` and `ece`, and the tables of reliability."""
    gold = scores.numbered([o.gold for o in before], labels)
    sides = [np.array([o.probabilities for o in side], float) for side in (before, after)]
    first, second = (calibration.brier(said, gold) for said in sides)
    difference = paired_difference(first.tolist(), second.tolist(), higher_is_better=False, resamples=resamples)
    found = _one("brier", (float(first.mean()), float(second.mean())), difference)
    sure = [calibration.sureness(said, gold) for said in sides]
    difference = paired_statistic(calibration.ece, *sure, higher_is_better=False, resamples=resamples, by_swaps=True)
    found = found.joined(_one("ece", (_at(calibration.ece, sure[0]), _at(calibration.ece, sure[1])), difference))
    tables = {name: calibration.reliability(side) for name, side in zip(("before", "after"), sure, strict=True)}
    return replace(found, calibration=tables)


def recalibrated(
    found: Evaluation, test: Sequence[Outcome], other: Sequence[Outcome], labels: Sequence[str]
) -> Evaluation:
    """`found`, and what one temperature, fitted on `other` rows, would make of the test rows; nothing is changed."""
    (said, gold), (fresh, wanted) = (
        (np.array([o.probabilities for o in side], float), scores.numbered([o.gold for o in side], labels))
        for side in (test, other)
    )
    temperature = calibration.fit_temperature(fresh, wanted)
    cooled = calibration.tempered(said, temperature)
    told = {
        "temperature": temperature,
        "ece": _at(calibration.ece, calibration.sureness(cooled, gold)),
        "loss": calibration.nll(cooled, gold),
    }
    return replace(found, calibration={**(found.calibration or {}), "with_temperature": told})


def _valued(before: Sequence[Outcome], after: Sequence[Outcome], resamples: int) -> Evaluation:
    """Metrics of numbers, and what always saying the mean of these rows would give."""
    found = Evaluation()
    sides = [np.array([o.value for o in side], float) for side in (before, after)]
    for measure in (values.mae, values.rmse, values.r2, values.spearman):
        better = measure in (values.r2, values.spearman)
        difference = paired_statistic(measure, *sides, higher_is_better=better, resamples=resamples)
        found = found.joined(_one(measure.__name__, (_at(measure, sides[0]), _at(measure, sides[1])), difference))
    true = sides[0][:, 1]
    always = np.stack([np.full_like(true, true.mean()), true], 1)
    return replace(found, mean_baseline={"mae": _at(values.mae, always), "rmse": _at(values.rmse, always)})


def _written(pairs: Sequence[tuple[Outcome, Outcome]], resamples: int) -> Evaluation:
    found = Evaluation()
    references = [b.reference for b, _ in pairs]
    sides = [[b.answer or "" for b, _ in pairs], [a.answer or "" for _, a in pairs]]
    for score in (text.exact_match, text.rouge_l, text.chrf):
        first, second = (score(answers, references) for answers in sides)
        difference = paired_difference(first, second, higher_is_better=True, resamples=resamples)
        found = found.joined(_one(score.__name__, (float(np.mean(first)), float(np.mean(second))), difference))
    return found


def _one(name: str, values: tuple[float, float], difference: Difference) -> Evaluation:
    """The evaluation of one metric."""
    numbers = {key: getattr(difference, key) for key in ("mean", "low", "high", "p")}
    return Evaluation({name: values[0]}, {name: values[1]}, {name: numbers}, {name: difference.verdict})
