"""What an adapter is, as one sha256 of what it holds: the same numbers have the same identity under any name.

It is taken over the tensors, as float32, and the keys of the configuration that change what they mean. Where they go
is in their names; the base, the dropout of training and the path do not count.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tunesmith.export.tensors import COPY

# Keys of PEFT that say where the tensors go (their names say it too), how training went, or nothing.
_SILENT = {
    "target_modules", "target_parameters", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out",
    "task_type", "base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping",
    "lora_dropout", "rank_dropout", "module_dropout", "hidden_dropout", "init_lora_weights", "init_weights",
    "init_ia3_weights", "eva_config", "corda_config", "loftq_config", "lora_ga_config", "runtime_config",
    "megatron_core", "qalora_group_size", "ensure_weight_tying", "prompt_tuning_init", "prompt_tuning_init_text",
    "tokenizer_name_or_path", "tokenizer_kwargs", "encoder_dropout",
}  # fmt: skip


def identity(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """-> the sha256 of an adapter, from what `read_adapter` gives."""
    telling = {
        key: value for key, value in described.items() if key not in _SILENT and value not in (None, False, {}, [])
    }
    whole = hashlib.sha256(json.dumps(telling, sort_keys=True).encode())
    for name in sorted(name for name in tensors if not name.endswith(COPY)):
        tensor = tensors[name].detach().to("cpu", torch.float32).contiguous()
        whole.update(f"\n{name} {tuple(tensor.shape)}\n".encode())
        whole.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data))
    return whole.hexdigest()
