"""A policy: what a run must show before it ships. One file of limits; three come with the package."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from tunesmith.core.config import Config
from tunesmith.core.errors import UserError, near
from tunesmith.core.plain_yaml import read_mapping
from tunesmith.release.amount import Amount, parse_amount
from tunesmith.release.known import SUITES

LIMITS = ("gain_above", "worse_at_most", "rise_at_most", "fall_at_most", "at_most", "at_least")
Limit = Annotated[Amount | None, BeforeValidator(lambda value: None if value is None else parse_amount(value))]


class Rule(Config):
    """Limits of one metric. All of them must hold, each at the far end of the interval, not at the estimate."""

    gain_above: Limit = None
    """The metric must get better by more than this."""
    worse_at_most: Limit = None
    """The metric may get worse by at most this."""
    rise_at_most: Limit = None
    """Tuned minus base, whichever side is the better one."""
    fall_at_most: Limit = None
    at_most: Limit = None
    """What the tuned model has."""
    at_least: Limit = None
    of: Literal["all", "writers", "scorers", "painters"] = "all"
    """Which runs are asked: those whose model writes text, gives scores, paints pictures, or all."""
    why: str = ""
    """For the one who reads the verdict."""

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not self.limits:
            raise UserError(f"gives no limit; give one of {', '.join(LIMITS)}")
        return self

    @property
    def limits(self) -> dict[str, Amount]:
        """-> by the name of the limit."""
        return {name: amount for name in LIMITS if (amount := getattr(self, name)) is not None}


class Policy(Config):
    """Rules by the name of the metric they limit: `SUITE.METRIC`."""

    about: str = ""
    rules: dict[str, Rule] = Field(min_length=1)


def shipped() -> list[str]:
    """-> the names of the policies that come with the package."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def read_policy(named: str) -> Policy:
    """-> the policy of a file, or one of those that come with the package. UserError names file and key."""
    path = _folder() / f"{named}.yaml" if named in shipped() else Path(named)
    if not path.is_file():
        known = ", ".join(shipped())
        raise UserError(f"{named}: no such policy file, and no policy of that name comes with tunesmith ({known})"
                        f"{near(named, shipped())}")  # fmt: skip
    values = read_mapping(path, "policy", "rules: {task.main: {gain_above: 0}}")
    try:
        policy = Policy.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{named}: {_explained(error)}") from error
    for metric in policy.rules:
        _refuse_stranger(metric, named)
    return policy


def _folder() -> Path:
    return Path(str(files("tunesmith.release") / "policies"))


def _refuse_stranger(metric: str, named: str) -> None:
    """UserError for a metric that no suite can have."""
    suite, dot, name = metric.partition(".")
    if not dot or not name:
        raise UserError(f"{named}: rules.{metric}: write SUITE.METRIC, for example general.perplexity")
    if suite not in SUITES:
        raise UserError(
            f"{named}: rules.{metric}: no suite is called `{suite}`{near(suite, SUITES)}; known are {', '.join(SUITES)}"
        )
    found = SUITES[suite]
    if name not in found.metrics and not found.open:
        raise UserError(
            f"{named}: rules.{metric}: `{suite}` has no metric `{name}`{near(name, found.metrics)}; "
            f"it has {', '.join(found.metrics)}"
        )


def _explained(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # a misspelt key before a missing one
    place = [str(part) for part in first["loc"]]
    key = ".".join(place) or "the policy"
    if first["type"] == "extra_forbidden":
        fields = Rule.model_fields if place[0] == "rules" else Policy.model_fields
        return f"{key}: not a field of a {'rule' if place[0] == 'rules' else 'policy'}{near(place[-1], fields)}"
    given: Any = first.get("ctx", {}).get("error")
    return f"{key}: {given if given else first['msg'][0].lower() + first['msg'][1:]}"
