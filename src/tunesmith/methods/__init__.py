"""Every way to change a model. A new method is one file here, one name in the union and one in the tables."""

from typing import Annotated

from pydantic import Field

from tunesmith.methods.full import Full
from tunesmith.methods.lora import LoRA
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt, PTuning

AnyMethod = Annotated[LoRA | Full | Prefix | Prompt | PTuning, Field(discriminator="kind")]

METHODS: dict[str, type[MethodConfig]] = {
    "lora": LoRA,
    "full": Full,
    "prefix": Prefix,
    "prompt": Prompt,
    "ptuning": PTuning,
}
"""By the kind that a recipe names."""

PEFT_TYPES: dict[str, type[MethodConfig]] = {
    "LORA": LoRA,
    "PREFIX_TUNING": Prefix,
    "PROMPT_TUNING": Prompt,
    "P_TUNING": PTuning,
}
"""By the `peft_type` of the files they make."""
