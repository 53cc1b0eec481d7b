"""Which method to take, in words that follow from the numbers, and what speaks against trusting them.

Of the methods that are better than the base, those that are not detectably worse than the best; of these the ones that
do not detectably forget, if there are any; of these the one whose steps take the least time times memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunesmith.report.comparison import Against, Value
from tunesmith.report.numbers import count, metric, share, size

NEAR = 1.1  # costs that are so near to the least count as equal; then what must be stored decides
NOISY = 1.25  # the slowest run of a method over its fastest, in seconds a step
FEW_ITEMS = 200
MANY_METHODS = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method that was trained."""

    method: str
    quality: Value
    seconds: float  # a step
    memory: int
    stored: int
    against_base: Against
    against_best: Against | None  # None: it is the best
    forgetting: Value | None = None
    forgot: bool = False
    spread: float = 1.0  # of its seconds a step over its runs: the slowest over the fastest

    @property
    def cost(self) -> float:
        return self.seconds * self.memory


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else is known of the comparison."""

    base: Value
    seeds: int
    items: int
    steps: int
    wanted_steps: int
    left_out: Mapping[str, str] = field(default_factory=dict)  # by method: why it was not trained
    at_the_edge: Sequence[str] = ()  # methods whose best learning rate was the last one tried
    rows: str = "test rows"  # what is judged
    more: Sequence[str] = ()  # other doubts


@dataclass(frozen=True, slots=True)
class Recommendation:
    method: str | None
    sentence: str
    doubts: tuple[str, ...]


def recommend(candidates: Sequence[Candidate], known: Circumstances) -> Recommendation:
    """-> the choice, why, and its doubts."""
    doubts = _doubts(candidates, known)
    if not candidates:
        return Recommendation(None, "No method could be trained, so none can be recommended.", doubts)
    learned = [one for one in candidates if one.against_base.verdict == "better"]
    how = metric(known.base.metric)
    if not learned:
        sentence = (
            f"None of the methods is detectably better than the base ({_lower(how.label)} "
            f"{how.value(known.base.mean)}), so none can be recommended; more rows or more steps may change that."
        )
        return Recommendation(None, sentence, doubts)
    best = next((one for one in learned if one.against_best is None), learned[0])
    equals = [one for one in learned if one.against_best is None or one.against_best.verdict != "worse"]
    calm = [one for one in equals if not one.forgot] or equals
    chosen = _cheapest(calm)
    return Recommendation(chosen.method, _sentence(chosen, best, known, len(learned)), _own(chosen, best) + doubts)


def _cheapest(candidates: Sequence[Candidate]) -> Candidate:
    least = min(one.cost for one in candidates)
    return min((one for one in candidates if one.cost <= NEAR * least), key=lambda one: (one.stored, one.cost))


def _sentence(chosen: Candidate, best: Candidate, known: Circumstances, among: int) -> str:
    how, quality = metric(chosen.quality.metric), chosen.quality
    said = f"{_lower(how.label)} of {how.value(quality.mean)} ({how.value(quality.low)} to {how.value(quality.high)})"
    parts = [f"Take {chosen.method}: its {said}, {how.value(known.base.mean)} for the base,"]
    if chosen is best:
        parts.append("is the best." if among > 1 else "is the only one that is detectably better than the base.")
    else:
        parts.append(
            f"is not detectably different from that of the best, {best.method} ({how.value(best.quality.mean)}), and "
            f"it takes {_ratio(chosen.seconds, best.seconds)} of its time a step and "
            f"{_ratio(chosen.memory, best.memory)} of its memory."
        )
    parts.append(f"{size(chosen.stored)} must be stored for each task.")
    if chosen.forgetting is not None:
        parts.append(_forgetting(chosen, chosen.forgetting))
    return " ".join(parts)


def _forgetting(chosen: Candidate, forgetting: Value) -> str:
    how = metric(forgetting.metric)
    ends = f"{how.change(forgetting.low)} to {how.change(forgetting.high)}"
    if chosen.forgot:
        return f"It forgets: perplexity on general text rose by {how.value(forgetting.mean)} ({ends})."
    return f"No forgetting could be detected (perplexity on general text {ends})."


def _own(chosen: Candidate, best: Candidate) -> tuple[str, ...]:
    """Doubts about this choice."""
    found = []
    how, against = metric(chosen.quality.metric), chosen.against_best
    if against is not None:
        behind = -against.low if how.higher_is_better else against.high
        found.append(f"{best.method} may be better by up to {how.change(behind).lstrip('+')}; that was not excluded.")
    if chosen.spread > NOISY:
        found.append(
            f"the steps of {chosen.method} took up to {chosen.spread:.1f} times as long in one run as in another: "
            "the machine was busy, and times are worth little."
        )
    return tuple(found)


def _doubts(candidates: Sequence[Candidate], known: Circumstances) -> tuple[str, ...]:
    """Doubts about the comparison."""
    found = []
    if known.seeds == 1:
        found.append("there is one seed: its luck is not in the intervals, and times are those of a single run.")
    if known.steps < known.wanted_steps:
        found.append(
            f"the runs had {count(known.steps)} of {count(known.wanted_steps)} steps: "
            "methods that learn slowly look worse than they would be in the end."
        )
    if known.items < FEW_ITEMS:
        found.append(f"{count(known.items)} {known.rows} show large differences only.")
    if len(candidates) >= MANY_METHODS:
        found.append(
            f"the best of {len(candidates)} was chosen on the {known.rows} that it is judged by, and looks a little "
            "too good."
        )
    if known.at_the_edge:
        names = ", ".join(known.at_the_edge)
        found.append(f"the best learning rate of {names} was the last one tried; one beyond it may be better.")
    found += known.more
    found += [f"{name} was not compared: {why.rstrip('.')}." for name, why in known.left_out.items()]
    return tuple(found)


def _ratio(one: float, other: float) -> str:
    ratio = one / other
    return share(ratio) if ratio < 1 else f"{ratio:.2f} times" if ratio < 10 else f"{ratio:.0f} times"


def _lower(label: str) -> str:
    return label[0].lower() + label[1:]
