"""The base of every configuration: immutable, and unknown keys are errors."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen, typed value. Equal configurations give equal behaviour."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
