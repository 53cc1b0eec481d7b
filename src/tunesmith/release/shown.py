"""A verdict as lines for a terminal or a page: by area, each rule with its reason."""

from itertools import groupby

from tunesmith.release.verdict import Decision, Verdict

LIMITS = {
    "gain_above": "must gain more than {}",
    "worse_at_most": "may get worse by at most {}",
    "rise_at_most": "may rise by at most {}",
    "fall_at_most": "may fall by at most {}",
    "at_most": "at most {}",
    "at_least": "at least {}",
}
_MARKS = {"pass": "pass", "fail": "FAIL", "not measured": "FAIL", "not asked": "  - "}
_ORDER = ("proof", "gain", "forgetting", "fairness", "safety", "memorisation", "conduct", "size", "data", "other")


def lines(verdict: Verdict) -> list[str]:
    """-> the whole verdict, the last line its sum."""
    found = sorted(verdict.decisions, key=lambda one: _ORDER.index(one.area))
    told: list[str] = []
    for area, decisions in groupby(found, key=lambda one: one.area):
        told += [area, *(f"  {_MARKS[one.state]}  {sentence(one)}" for one in decisions)]
    return [*told, "", last(verdict)]


def sentence(one: Decision) -> str:
    why = f" ({one.why})" if one.why and one.state in ("fail", "not measured") else ""
    return f"{one.metric}: {LIMITS[one.limit].format(one.amount)}; {one.reason}{why}"


def last(verdict: Verdict) -> str:
    states = [one.state for one in verdict.decisions]
    asked = len(states) - states.count("not asked")
    if verdict.state == "pass":
        return f"verdict by {verdict.policy}: PASS, {asked} of {asked} rules hold"
    failed, missing = states.count("fail"), states.count("not measured")
    parts = [f"{failed} of {asked} rules do not hold"] if failed else []
    parts += [f"{missing} of {asked} could not be judged: what is not measured does not pass"] if missing else []
    return f"verdict by {verdict.policy}: FAIL, {', '.join(parts)}"
