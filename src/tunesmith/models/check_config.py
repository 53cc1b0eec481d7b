"""config.json of a base: cleaned of all that could choose code, bounded, and held against the weights.

Why so strict: configurations have been made to run code with remote code switched off (CVE-2026-4372,
CVE-2026-5241), and a wrong number in one can ask for all memory of the machine.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from tunesmith.core.errors import UserError, near
from tunesmith.models.check_weights import Shapes, read_json

# Key -> the largest value that is read; the largest open models of 2026 stay well below each.
BOUNDS = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 1024),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "head_dim"), 1 << 17),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_key_value_heads"), 1 << 13),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "moe_intermediate_size"), 1 << 21),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 1 << 13),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 1 << 27),
    "vocab_size": 1 << 22,
}
_CODE = re.compile(r"auto_map|trust_remote_code|_?(attn|experts)_implementation.*|custom_\w+|_name_or_path")
_LOUD = ("auto_map", "trust_remote_code", "_attn_implementation_internal")  # the others are left by every library


def read_config(folder: Path, say: Callable[[str], None], *, head: bool = False) -> PreTrainedConfig:
    """The configuration of the decoder-only language model in `folder`; with `head`, that of an encoder will do too.

    `UserError`: there is none, it is of something else, its sizes are absurd, or it needs code that is not in
    transformers. Keys that name code are dropped, with a line to `say`.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: {_no_config(folder)}")
    raw = read_json(path)
    named = [key for key in _LOUD if key in raw]
    raw = _without_code(raw)
    _refuse_other_kinds(path, raw, bool(named), head)
    _refuse_absurd(path, raw)
    if named:
        say(f"{path}: `{'`, `'.join(named)}` name code; it is not used, the model runs on transformers' own")
    try:
        return CONFIG_MAPPING[raw["model_type"]].from_dict(raw)
    except Exception as error:  # each configuration class checks in its own way
        reason = str(error).strip().splitlines()
        raise UserError(f"{path}: not a valid `{raw['model_type']}` configuration: {' '.join(reason)[:300]}") from error


def _no_config(folder: Path) -> str:
    if (folder / "model_index.json").is_file():
        return "not a language model: this is an image model; objective=denoise learns pictures"
    if (folder / "adapter_config.json").is_file():
        return "an adapter, not a base: name the model it was trained on"
    ggufs = sorted(folder.glob("*.gguf"))
    if ggufs:
        return f"no config.json; to use the GGUF file, name it: {ggufs[0]}"
    return "no config.json; a base is a folder with config.json, safetensors and a tokenizer"


def _without_code(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_code(v) for key, v in value.items() if not _CODE.fullmatch(key)}
    return [_without_code(v) for v in value] if isinstance(value, list) else value


def _refuse_other_kinds(path: Path, raw: dict[str, Any], brings_code: bool, head: bool) -> None:
    kind, architectures = raw.get("model_type"), raw.get("architectures")
    if not isinstance(kind, str):
        raise UserError(f"{path}: `model_type` is missing; it names the family of the model, such as llama")
    if kind not in CONFIG_MAPPING:
        own = " (it brings its own code, which is never run)" if brings_code else ""
        raise UserError(f"{path}: `{kind}` is no family that transformers knows{own}{near(kind, CONFIG_MAPPING)}")
    if "vision_config" in raw or "audio_config" in raw:
        raise UserError(f"{path}: not a language model alone: `{kind}` reads pictures or sound too")
    if not (_can_be_scored(raw) if head else _writes(raw)):
        what = ", ".join(map(str, architectures or [kind]))
        if not head and _can_be_scored(raw):
            raise UserError(
                f"{path}: not a language model that writes text: {what} is no causal language model; it can classify "
                "or score texts (objective=classify, regress or reward)"
            )
        raise UserError(f"{path}: not a language model that {'reads' if head else 'writes'} text: {what}")
    if "quantization_config" in raw:
        raise UserError(f"{path}: the weights are quantised (`quantization_config`); take the unquantised model")


def is_encoder(raw: Mapping[str, Any]) -> bool:
    """Whether a configuration is of a network that looks both ways."""
    return raw.get("model_type") in MODEL_FOR_MASKED_LM_MAPPING_NAMES and raw.get("is_decoder") is not True


def _writes(raw: Mapping[str, Any]) -> bool:
    known = {name for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in _names(names)}
    architectures = raw.get("architectures")
    if raw["model_type"] not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or is_encoder(raw):
        return False
    return not architectures or any(a in known for a in architectures)


def _can_be_scored(raw: Mapping[str, Any]) -> bool:
    """A decoder that writes, an encoder, or either of them with a head already."""
    if raw["model_type"] not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES or raw.get("is_encoder_decoder"):
        return False
    done = any("ForSequenceClassification" in str(a) for a in raw.get("architectures") or [])
    return _writes(raw) or is_encoder(raw) or done


def _names(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _refuse_absurd(path: Path, raw: dict[str, Any]) -> None:
    for key, most in BOUNDS.items():
        value = raw.get(key)
        if isinstance(value, list) or value is None:  # a list: one size for each layer
            continue
        if type(value) is not int or not 0 <= value <= most:
            raise UserError(f"{path}: `{key}` is {str(value)[:40]}, but must be a whole number up to {most}")


def compare(folder: Path, config: PreTrainedConfig, shapes: Shapes) -> None:
    """Refuse a configuration that asks for other sizes than the weights have, before anything is allocated."""
    dimensions = {n for shape in shapes.values() for n in shape}
    for key in ("hidden_size", "vocab_size"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value not in dimensions:
            raise UserError(f"{folder / 'config.json'}: `{key}` is {value}, but no tensor has that size")
    numbers = [int(found[1]) for name in shapes if (found := re.search(r"\.(\d+)\.", f".{name}"))]
    layers = getattr(config, "num_hidden_layers", None)
    if numbers and isinstance(layers, int) and layers > max(numbers) + 1:
        raise UserError(f"{folder / 'config.json'}: {layers} layers, but the weights have {max(numbers) + 1}")
