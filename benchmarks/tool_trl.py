"""One run of TRL + PEFT on a benchmark's work, in a process of its own. Prints one line of JSON.

`installed`: what a user gets who names a model, a data set and LoRA. `tuned`: what the fastest settings known give.
"""

import json
import sys
import tempfile
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from process import Laps, peak_memory
from safetensors.torch import load_file
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer
from work import Work

TUNED: dict[str, Any] = {
    "bf16": False,  # no autocast: the weights are bfloat16 themselves
    "model_init_kwargs": {"dtype": torch.bfloat16},
    "gradient_checkpointing": False,
}


class Clock(TrainerCallback):
    """When each step ended, and its loss."""

    def __init__(self) -> None:
        self.laps = Laps()
        self.losses: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.laps = Laps()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.laps.mark()

    def on_log(self, _: Any, __: Any, ___: Any, logs: dict[str, float], **____: Any) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def run(work: Work, settings: dict[str, Any], folder: str) -> dict[str, object]:
    rows = Dataset.from_dict({"input_ids": work.tokens, "completion_mask": [list(map(int, t)) for t in work.trained]})
    config = SFTConfig(
        output_dir=folder,
        use_cpu=True,
        per_device_train_batch_size=work.batch_size,
        max_steps=work.steps,
        learning_rate=work.rate,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        completion_only_loss=True,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    clock = Clock()
    trainer = SFTTrainer(
        model=work.base,
        args=config,
        train_dataset=rows,
        peft_config=LoraConfig(r=work.rank, lora_alpha=work.alpha, target_modules="all-linear"),
        callbacks=[clock],
    )
    unknown = set_peft_model_state_dict(trainer.model, load_file(work.adapter)).unexpected_keys
    assert not unknown, unknown
    trainer.train()
    dtypes = sorted({str(p.dtype) for p in trainer.model.parameters()})
    return {"losses": clock.losses, **clock.laps.between(), "peak_bytes": peak_memory(), "dtypes": dtypes}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        result = run(Work.read(sys.argv[1]), TUNED if sys.argv[2] == "tuned" else {}, folder)
    print(json.dumps(result))
