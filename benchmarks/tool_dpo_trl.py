"""One run of TRL's DPOTrainer with PEFT on a benchmark's pairs, in a process of its own. Prints one line of JSON.

`installed`: what a user gets who names a model, pairs and LoRA. `tuned`: what the fastest settings known give.
"""

import json
import sys
import tempfile
from typing import Any

from datasets import Dataset
from pair_work import PairWork
from peft import LoraConfig, set_peft_model_state_dict
from process import peak_memory
from safetensors.torch import load_file
from tool_trl import TUNED, Clock
from trl import DPOConfig, DPOTrainer


def run(work: PairWork, settings: dict[str, Any], folder: str) -> dict[str, object]:
    config = DPOConfig(
        output_dir=folder,
        use_cpu=True,
        per_device_train_batch_size=work.batch_size,
        max_steps=work.steps,
        learning_rate=work.rate,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        beta=work.beta,
        max_length=None,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    clock = Clock()
    words = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    trainer = DPOTrainer(
        model=work.base,
        args=config,
        train_dataset=Dataset.from_list(words * len(work.prompts)),
        peft_config=LoraConfig(r=work.rank, lora_alpha=work.alpha, target_modules="all-linear"),
        callbacks=[clock],
    )
    ids = {"prompt_ids": work.prompts, "chosen_ids": work.chosen, "rejected_ids": work.rejected}
    trainer.train_dataset = Dataset.from_dict(ids)  # the very tokens that the other tool gets
    unknown = set_peft_model_state_dict(trainer.model, load_file(work.adapter)).unexpected_keys
    assert not unknown, unknown
    trainer.train()
    dtypes = sorted({str(p.dtype) for p in trainer.model.parameters()})
    return {"losses": clock.losses, **clock.laps.between(), "peak_bytes": peak_memory(), "dtypes": dtypes}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        result = run(PairWork.read(sys.argv[1]), TUNED if sys.argv[2] == "tuned" else {}, folder)
    print(json.dumps(result))
