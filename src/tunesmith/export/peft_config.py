"""PEFT's `adapter_config.json`: what we write, and the bounds within which we read.

The file may come from a stranger: nothing in it names code to run or a place to fetch from that we would follow, and
every number has a bound before anything is allocated. What a key means for the method is the method's to say.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunesmith.core.errors import UserError, near

NAME = "adapter_config.json"
MAX_BYTES = 1 << 20

Rank = Annotated[int, Field(ge=1, le=4096)]
Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Short = Annotated[str, Field(max_length=1000)]
Names = Annotated[list[Short], Field(max_length=20_000)]


class File(BaseModel):
    """What the file of every kind may say."""

    model_config = ConfigDict(extra="allow", strict=True)

    peft_type: str
    target_modules: Names | Short | None = None
    exclude_modules: Names | Short | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[Short] | Short | None = None


class LoRAFile(File):
    """Low-rank updates."""

    peft_type: Literal["LORA"]
    r: Rank = 8
    lora_alpha: Strength = 8
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_parameters: Names | None = None
    rank_pattern: dict[Short, Rank] | None = Field(default_factory=dict, max_length=20_000)
    alpha_pattern: dict[Short, Strength] | None = Field(default_factory=dict, max_length=20_000)
    use_rslora: bool = False
    use_dora: bool = False
    fan_in_fan_out: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"


class VirtualFile(File):
    """Virtual tokens before the text: prefix tuning, prompt tuning and p-tuning."""

    peft_type: Literal["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"]
    num_virtual_tokens: int = Field(ge=1, le=100_000)
    token_dim: int | None = Field(None, ge=1, le=1 << 20)
    num_transformer_submodules: Literal[1] | None = None
    num_attention_heads: int | None = Field(None, ge=1, le=1 << 16)
    num_layers: int | None = Field(None, ge=1, le=1 << 16)
    encoder_hidden_size: int | None = None
    prefix_projection: bool = False


class IA3File(File):
    """Vectors that scale."""

    peft_type: Literal["IA3"]
    feedforward_modules: Names | Short | None = None
    fan_in_fan_out: bool = False


class LycorisFile(File):
    """Products of small matrices: LoHa and LoKr."""

    peft_type: Literal["LOHA", "LOKR"]
    r: Rank = 8
    alpha: Strength = 8
    rank_pattern: dict[Short, Rank] | None = Field(default_factory=dict, max_length=20_000)
    alpha_pattern: dict[Short, Strength] | None = Field(default_factory=dict, max_length=20_000)
    rank_dropout: float = Field(0.0, ge=0, lt=1)  # the dropouts act in training alone
    module_dropout: float = Field(0.0, ge=0, lt=1)
    rank_dropout_scale: bool = False
    use_effective_conv2d: bool = False  # acts on convolutions alone
    decompose_both: bool = False
    decompose_factor: Literal[-1] | Rank = -1


class BottleneckFile(File):
    """Our own format for bottleneck adapters."""

    peft_type: Literal["TUNESMITH_BOTTLENECK"]
    place: Literal["pfeiffer", "houlsby", "parallel"]
    reduction: Rank
    activation: Literal["relu", "gelu", "silu"]
    scale: Strength
    target_modules: Names


class BitFitFile(File):
    """Our own format for changes of biases."""

    peft_type: Literal["TUNESMITH_BITFIT"]
    target_modules: Names


FILES: dict[str, type[File]] = {
    "LORA": LoRAFile,
    "IA3": IA3File,
    "LOHA": LycorisFile,
    "LOKR": LycorisFile,
    "TUNESMITH_BOTTLENECK": BottleneckFile,
    "TUNESMITH_BITFIT": BitFitFile,
    "PREFIX_TUNING": VirtualFile,
    "PROMPT_TUNING": VirtualFile,
    "P_TUNING": VirtualFile,
}
"""What is read, by `peft_type`."""

# Keys of PEFT 0.21 that are not above. What is not even here may change the numbers in a way that we cannot know.
_KNOWN = {
    "task_type", "base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping",
    "modules_to_save", "init_lora_weights", "lora_bias", "layer_replication",
    "trainable_token_indices", "ensure_weight_tying", "loftq_config", "eva_config", "corda_config", "megatron_config",
    "megatron_core", "lora_ga_config", "velora_config", "alora_invocation_tokens", "use_qalora", "qalora_group_size",
    "monteclora_config", "use_bdlora", "arrow_config", "kasa_config", "runtime_config",
    "init_ia3_weights", "init_weights", "prompt_tuning_init", "prompt_tuning_init_text",
    "prompt_tuning_init_state_dict_path", "tokenizer_name_or_path", "tokenizer_kwargs",
    "encoder_reparameterization_type", "encoder_num_layers", "encoder_dropout",
}  # fmt: skip
_GENERAL: dict[str, Any] = {
    "auto_mapping": None,
    "inference_mode": True,
    "revision": None,
    "task_type": "CAUSAL_LM",
}


def config_text(described: Mapping[str, Any], base_name: str) -> str:
    """-> the file: the method's keys and those that every reader expects, sorted, without those of single versions."""
    body = {**_GENERAL, "base_model_name_or_path": base_name, **described}
    return json.dumps(body, indent=2, sort_keys=True)  # PEFT writes no newline at the end


def read_config(path: Path) -> dict[str, Any]:
    """-> the keys and values, within their bounds. One UserError line for anything else."""
    if not path.is_file():
        raise UserError(f"{path}: missing; an adapter is a folder with {NAME} and adapter_model.safetensors")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: {path.stat().st_size} bytes; more than {MAX_BYTES} are not read")
    return checked(parse_object(path), path)


def checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """-> `found`, the keys and values that stand in `path`, when they are within their bounds. UserError otherwise."""
    kind = found.get("peft_type")
    if kind not in FILES:
        raise UserError(f"{path}: `peft_type` is {str(kind)[:40]!r}; this version reads {', '.join(FILES)}")
    try:
        FILES[kind].model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(" ".join(str(part).split())[:60] for part in first["loc"])  # a key may hold a line break
        raise UserError(f"{path}: `{where}`: {first['msg']}") from error
    known = _KNOWN | set(FILES[kind].model_fields)
    for key, value in found.items():
        if key not in known and value not in (None, False, {}, []):
            raise UserError(f"{path}: `{key[:60]}` is not a key this version knows{near(key, known)}; remove it")
    return found


def parse_object(path: Path) -> dict[str, Any]:
    """-> the JSON object in a small file. UserError for broken JSON, doubled keys, or another kind of value."""
    return parse_bytes(path.read_bytes(), path)


def parse_bytes(raw: bytes, path: Path) -> dict[str, Any]:
    """As `parse_object`, of bytes that stand in `path`."""
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8 are a ValueError too
        raise UserError(f"{path}: broken JSON ({str(error)[:120]}); get the file again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: a JSON object is expected, found {type(found).__name__}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
