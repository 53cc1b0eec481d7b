"""The verdict: each limit of a policy held against what was measured, at the far end of the interval.

Of a change the 95 % interval says how large it may be: a limit holds when it holds at that end. Of a level (`at_most`,
`at_least`) it is the tuned model's value moved by as much as its difference to the base may be off. Where no item
changed at all the interval is a point that says nothing about items that were not asked: there a share may still be
3 / n off (the rule of three, Hanley and Lippman-Hand 1983). What was not measured does not hold.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tunesmith.core.errors import UserError, near
from tunesmith.release.amount import Amount
from tunesmith.release.known import MAIN, area, command
from tunesmith.release.measured import Known
from tunesmith.release.policy import Policy, Rule
from tunesmith.report.numbers import size
from tunesmith.report.suites import MetricFound

FEWEST = 6  # items: with fewer no outcome is rare enough to tell anything
State = Literal["pass", "fail", "not measured", "not asked"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One limit of one metric."""

    metric: str
    area: str
    limit: str
    amount: str
    state: State
    reason: str
    why: str = ""
    command: str | None = None  # that measures what is missing


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run against a policy."""

    policy: str
    about: str
    decisions: tuple[Decision, ...]

    @property
    def state(self) -> Literal["pass", "fail", "incomplete"]:
        states = {one.state for one in self.decisions}
        if "not measured" in states:
            return "incomplete"
        return "fail" if "fail" in states else "pass"

    @property
    def status(self) -> int:
        """-> the exit status of the command."""
        return {"pass": 0, "fail": 1, "incomplete": 2}[self.state]

    def document(self, known: Known) -> dict[str, Any]:
        artifact = known.result.artifact
        assert artifact is not None, "only finished runs are judged"
        run = {"folder": str(known.run), "base": known.result.base, "artifact_sha256": artifact.sha256}
        rules = [asdict(one) for one in self.decisions]
        return {"policy": self.policy, "verdict": self.state, "rules": rules, "run": run}


def judge(policy: Policy, named: str, known: Known) -> Verdict:
    """-> the verdict. UserError for a rule that cannot be held against what was measured."""
    decisions = [one for metric, rule in policy.rules.items() for one in _decided(metric, rule, named, known)]
    return Verdict(named, policy.about, tuple(decisions))


def _decided(asked: str, rule: Rule, named: str, known: Known) -> list[Decision]:
    metric = known.main or MAIN if asked == MAIN else asked
    if not _asked(rule, known):
        kind = "scores and writes no text" if known.result.scores else "writes text"
        kind = "paints pictures" if known.result.paints else kind
        told = f"not asked: this run's model {kind}"
        return [_made(metric, name, amount, rule, "not asked", told) for name, amount in rule.limits.items()]
    if metric in known.facts:
        return [_of_fact(metric, known.facts[metric], *limit, rule, named) for limit in rule.limits.items()]
    if metric in known.metrics:
        return [_of_metric(metric, known.metrics[metric], *limit, rule, named) for limit in rule.limits.items()]
    _refuse_unknown(metric, named, known)
    how = command(metric, known.run)
    told = "not measured" + (f"; `{how}` measures it" if how else ", and this run cannot have it")
    return [
        _made(metric, name, amount, rule, "not measured", told, how) for name, amount in rule.limits.items()
    ]  # fmt: skip


def _asked(rule: Rule, known: Known) -> bool:
    kind = "painters" if known.result.paints else "scorers" if known.result.scores else "writers"
    return rule.of in ("all", kind)


def _refuse_unknown(metric: str, named: str, known: Known) -> None:
    """UserError where the suite was measured and has no such metric: it is misspelt, not missing."""
    suite = metric.partition(".")[0]
    if suite in known.suites.suites:
        own = [name for name in known.metrics if name.startswith(f"{suite}.")]
        raise UserError(
            f"{named}: rules.{metric}: `{suite}` was measured on this run and has no such metric{near(metric, own)}; "
            f"it has {', '.join(name.partition('.')[2] for name in own) or 'none'}"
        )


def _made(  # noqa: PLR0913 - one line of a verdict
    metric: str, limit: str, amount: Amount, rule: Rule, state: State, reason: str, how: str | None = None
) -> Decision:
    return Decision(metric, area(metric), limit, amount.written, state, reason, rule.why, how)


def _of_fact(metric: str, value: float, limit: str, amount: Amount, rule: Rule, named: str) -> Decision:
    """What is counted has no interval."""
    if limit not in ("at_most", "at_least"):
        raise UserError(f"{named}: rules.{metric}.{limit}: it is counted, not compared; use at_most or at_least")
    holds = value <= amount.level if limit == "at_most" else value >= amount.level
    shown = size(value) if metric.endswith(".bytes") else f"{value:.4g}"
    return _made(metric, limit, amount, rule, "pass" if holds else "fail", f"it is {shown}")


def _of_metric(metric: str, found: MetricFound, limit: str, amount: Amount, rule: Rule, named: str) -> Decision:
    if limit in ("gain_above", "worse_at_most") and found.better == "neither":
        raise UserError(
            f"{named}: rules.{metric}.{limit}: this metric has no better side; use rise_at_most or fall_at_most"
        )
    if found.n < FEWEST:
        told = f"measured on {found.n} items only, and at least {FEWEST} are needed to tell anything"
        return _made(metric, limit, amount, rule, "fail", told)
    low, high, guarded = _interval(found)
    worst, bound, holds = _bound(found, limit, amount, low, high)
    relative = amount.unit == "%" and limit not in ("at_most", "at_least") and found.base
    part = f", that is {_shown(100 * bound / abs(found.base))} % of the base's" if relative else ""
    three = ", by the rule of three" if guarded else ""
    end = f"at the far end of the 95 % interval{three} {worst}{_shown(bound)}{part} ({found.n} items)"
    told = f"{_estimate(found, limit)}; {end}"
    return _made(metric, limit, amount, rule, "pass" if holds else "fail", told)


def _interval(found: MetricFound) -> tuple[float, float, bool]:
    """-> the ends, and whether they were moved out because no item changed."""
    share = 0 <= found.base <= 1 and 0 <= found.tuned <= 1
    if found.low == found.high and share:
        return found.low - 3 / found.n, found.high + 3 / found.n, True
    return found.low, found.high, False


def _bound(found: MetricFound, limit: str, amount: Amount, low: float, high: float) -> tuple[str, float, bool]:
    """-> the words for the far end, the number there, and whether the limit holds at it."""
    up = found.better == "higher"
    change = amount.of(found.base)
    match limit:
        case "gain_above":
            least = low if up else -high
            return "a gain of ", least, least > change
        case "worse_at_most":
            most = -low if up else high
            return "a loss of ", most, most <= change
        case "rise_at_most":
            return "a rise of ", high, high <= change
        case "fall_at_most":
            return "a fall of ", -low, -low <= change
        case "at_most":
            most = found.tuned + (high - found.difference)
            return "", most, most <= amount.level
    least = found.tuned + (low - found.difference)
    return "", least, least >= amount.level


def _estimate(found: MetricFound, limit: str) -> str:
    if limit in ("at_most", "at_least"):
        return f"it is {_shown(found.tuned)}, of the base {_shown(found.base)}"
    return f"from {_shown(found.base)} to {_shown(found.tuned)}"


def _shown(value: float) -> str:
    return f"{value:.4g}".replace("-", "\u2212", 1)
