"""Everything a run can optimize. A new one is one file here and one name in this union."""

from typing import Annotated

from pydantic import Field

from tunesmith.objectives.classify import Classify
from tunesmith.objectives.denoise import Denoise
from tunesmith.objectives.diffusion_dpo import DiffusionDPO
from tunesmith.objectives.distill import Distill
from tunesmith.objectives.dpo import DPO
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.objectives.grpo import GRPO
from tunesmith.objectives.ipo import IPO
from tunesmith.objectives.kto import KTO
from tunesmith.objectives.objective import ObjectiveConfig
from tunesmith.objectives.orpo import ORPO
from tunesmith.objectives.ppo import PPO
from tunesmith.objectives.regress import Regress
from tunesmith.objectives.reward import Reward
from tunesmith.objectives.rloo import RLOO
from tunesmith.objectives.sft import SFT
from tunesmith.objectives.simpo import SimPO
from tunesmith.objectives.textual_inversion import TextualInversion

AnyObjective = Annotated[
    SFT
    | DPO
    | IPO
    | KTO
    | ORPO
    | SimPO
    | Reward
    | Classify
    | Regress
    | GRPO
    | RLOO
    | PPO
    | Distill
    | Denoise
    | DreamBooth
    | TextualInversion
    | DiffusionDPO,
    Field(discriminator="kind"),
]

OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "sft": SFT,
    "dpo": DPO,
    "ipo": IPO,
    "kto": KTO,
    "orpo": ORPO,
    "simpo": SimPO,
    "reward": Reward,
    "classify": Classify,
    "regress": Regress,
    "grpo": GRPO,
    "rloo": RLOO,
    "ppo": PPO,
    "distill": Distill,
    "denoise": Denoise,
    "dreambooth": DreamBooth,
    "textual-inversion": TextualInversion,
    "diffusion-dpo": DiffusionDPO,
}
"""By the kind that a recipe names."""
