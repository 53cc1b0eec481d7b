"""Every way to change a model. A new method is one file here and one name in this union."""

from typing import Annotated

from pydantic import Field

from tunesmith.methods.full import Full
from tunesmith.methods.lora import LoRA

AnyMethod = Annotated[LoRA | Full, Field(discriminator="kind")]
