"""Every way to change a model. A new method is one file here, one name in the union and one in the table."""

from typing import Annotated

from pydantic import Field

from tunesmith.methods.full import Full
from tunesmith.methods.lora import LoRA

AnyMethod = Annotated[LoRA | Full, Field(discriminator="kind")]

METHODS: dict[str, type[LoRA] | type[Full]] = {"lora": LoRA, "full": Full}
