"""Every way to change a model. A new method is one file here, one name in the union and one in the tables."""

from typing import Annotated

from pydantic import Field

from tunesmith.methods.bitfit import BitFit
from tunesmith.methods.bottleneck import Bottleneck
from tunesmith.methods.full import Full
from tunesmith.methods.ia3 import IA3
from tunesmith.methods.loha import LoHa
from tunesmith.methods.lokr import LoKr
from tunesmith.methods.lora import LoRA
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt, PTuning
from tunesmith.methods.token import Token

AnyMethod = Annotated[
    LoRA | Full | Prefix | Prompt | PTuning | IA3 | LoHa | LoKr | Bottleneck | BitFit | Token,
    Field(discriminator="kind"),
]

METHODS: dict[str, type[MethodConfig]] = {
    "lora": LoRA,
    "full": Full,
    "prefix": Prefix,
    "prompt": Prompt,
    "ptuning": PTuning,
    "ia3": IA3,
    "loha": LoHa,
    "lokr": LoKr,
    "bottleneck": Bottleneck,
    "bitfit": BitFit,
    "token": Token,
}
"""By the kind that a recipe names."""

PEFT_TYPES: dict[str, type[MethodConfig]] = {
    "LORA": LoRA,
    "PREFIX_TUNING": Prefix,
    "PROMPT_TUNING": Prompt,
    "P_TUNING": PTuning,
    "IA3": IA3,
    "LOHA": LoHa,
    "LOKR": LoKr,
    "TUNESMITH_BOTTLENECK": Bottleneck,
    "TUNESMITH_BITFIT": BitFit,
}
"""By the `peft_type` of the files they make."""
