"""Opens a base: a checked folder of safetensors (or a GGUF file) becomes a network, a tokenizer, and what they are.

Everything that can be refused is refused before weights are allocated; nothing that is loaded can run code.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tunesmith.core.errors import UserError
from tunesmith.core.headed import Head
from tunesmith.core.layers import Quantization
from tunesmith.models.check_config import compare, read_config
from tunesmith.models.check_weights import Shapes, check_safetensors, read_json, refuse_if_not_finite, weight_files
from tunesmith.models.classes import keeps_head, own_labels, settle, with_head
from tunesmith.models.fingerprint import file_sha256, fingerprint
from tunesmith.models.gguf import RECORD, plain_folder, quiet
from tunesmith.models.quantized import quantize as packed

NO_LIMIT = 1 << 20  # the context of families that have no positions
MAX_TOKENIZER = 200 << 20
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a base lies on this machine, and what the one who named it knows about it."""

    name: str  # as the user wrote it
    path: Path  # a folder of safetensors, or a GGUF file
    source: str = "local files"
    licence: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """A pretrained language model, ready to be changed."""

    network: PreTrainedModel  # in evaluation mode
    tokenizer: PreTrainedTokenizerBase
    name: str  # as the user wrote it
    folder: Path  # of plain safetensors; for a GGUF file, its converted form
    fingerprint: str  # sha256 of weights and configuration; for a GGUF file, of the file
    context: int  # the most tokens it was made for
    licence: str | None
    source: str
    note: str | None  # what an honest report must add, such as "a 4-bit checkpoint, dequantised"
    quantize: Quantization | None = None  # how its linear layers are packed


def load_base(
    place: Place,
    *,
    dtype: torch.dtype,
    cache: Path,
    say: Say = print,
    quantize: Quantization | None = None,
    head: Head | None = None,
) -> Base:
    """Load `place` in `dtype` (float32 or bfloat16) to main memory; tied weights stay tied.

    `head`: with a last layer of scores in the place of the one that writes words; then encoders can be loaded too.
    `quantize` packs its linear layers then: here, so that they are the same on every device, and a GPU never holds them
    whole. `cache` keeps converted GGUF files and known fingerprints. `UserError`, with file and key, when something is
    missing, truncated, not a decoder-only language model, in need of its own code, or holds NaN.
    """
    assert dtype in (torch.float32, torch.bfloat16), dtype
    is_gguf = place.path.is_file()
    folder = plain_folder(place.path, cache, say) if is_gguf else place.path
    config = check_folder(folder, say, head=head is not None)
    tokenizer = load_tokenizer(folder, config)
    if head is None:
        network = _load_network(folder, config, dtype)
    else:
        network = _load_headed(folder, with_head(config, head, _padding(tokenizer)), dtype, head, say)
    if quantize is not None:
        say(str(packed(network, quantize)))
    licence, note = told(folder)
    return Base(
        network=network,
        tokenizer=tokenizer,
        name=place.name,
        folder=folder,
        fingerprint=file_sha256(place.path, cache) if is_gguf else fingerprint(folder, cache),
        context=_context(config, tokenizer),
        licence=place.licence or licence,
        source=place.source,
        note=place.note or note,
        quantize=quantize,
    )


def check_folder(folder: Path, say: Say = print, *, head: bool = False) -> PreTrainedConfig:
    """The configuration of the base in `folder`, after all checks that need no weights in memory (milliseconds).

    `head`: it will end in scores, so that an encoder is welcome.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; a base is a folder with config.json, safetensors and a tokenizer")
    if (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder}: holds an adapter beside the model (adapter_config.json); move it out of the folder")
    config = read_config(folder, say, head=head)
    compare(folder, config, _shapes(folder))
    return config


def _shapes(folder: Path) -> Shapes:
    return {name: shape for path in weight_files(folder) for name, shape in check_safetensors(path).items()}


def load_tokenizer(folder: Path, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`; refused when missing, damaged, in need of its own code, or larger than the model."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise UserError(f"{folder}: no tokenizer (tokenizer.json is missing); copy it from where the model came from")
    for path in folder.glob("tokenizer*"):
        if path.stat().st_size > MAX_TOKENIZER:
            raise UserError(f"{path}: {path.stat().st_size >> 20} MB; more than {MAX_TOKENIZER >> 20} MB is not read")
        if path.suffix == ".json":
            read_json(path, MAX_TOKENIZER)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, config=config, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the Rust library raises plain Exception
        raise UserError(f"{folder}: the tokenizer cannot be read: {_line(error)}") from error
    rows = config.get_text_config().vocab_size
    if len(tokenizer) > rows:
        raise UserError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model only {rows}; they do not match"
        )
    return tokenizer


def _load_network(folder: Path, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    network, found = _read(AutoModelForCausalLM, folder, config, dtype)
    # transformers would fill what is missing with random numbers.
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"{folder}: {len(missing)} weights are missing, the first is `{missing[0]}`; get the model again"
        )
    refuse_if_not_finite(network, folder)
    return network.eval()


def _load_headed(folder: Path, config: PreTrainedConfig, dtype: torch.dtype, head: Head, say: Say) -> PreTrainedModel:
    own = own_labels(folder) if keeps_head(_shapes(folder), len(head.labels), say) else None
    network, found = _read(AutoModelForSequenceClassification, folder, config, dtype)
    settle(network, found, head, say, own)
    refuse_if_not_finite(network, folder)
    return network.eval()


def _padding(tokenizer: PreTrainedTokenizerBase) -> int | None:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _read(
    kind: Any, folder: Path, config: PreTrainedConfig, dtype: torch.dtype
) -> tuple[PreTrainedModel, dict[str, Any]]:
    try:
        return _from_pretrained(kind, folder, config, dtype, "sdpa")
    except ValueError as error:
        if "attn_implementation" not in str(error) and "scaled_dot_product_attention" not in str(error):
            raise UserError(f"{folder}: transformers cannot load the model: {_line(error)}") from error
        return _from_pretrained(kind, folder, config, dtype, "eager")
    except (RuntimeError, OSError, KeyError) as error:
        raise UserError(f"{folder}: transformers cannot load the model: {_line(error)}") from error


def _from_pretrained(
    kind: Any, folder: Path, config: PreTrainedConfig, dtype: torch.dtype, attention: Literal["sdpa", "eager"]
) -> tuple[PreTrainedModel, dict[str, Any]]:
    with quiet(), _without_report():
        return kind.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=kind is AutoModelForSequenceClassification,  # a head of another size is replaced
        )


@contextmanager
def _without_report() -> Iterator[None]:
    """transformers tells of missing weights in its own words; we look at them ourselves."""
    logger = logging.getLogger("transformers.modeling_utils")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _context(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        return positions
    return min(int(tokenizer.model_max_length), NO_LIMIT)


def told(folder: Path) -> tuple[str | None, str | None]:
    """Licence and note, from the record of a conversion or from the head of a model card."""
    if (folder / RECORD).is_file():
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record["licence"], record["note"]
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(1 << 14)
    except OSError:
        return None, None
    card = re.match(r"---\n(.*?)\n---", head, re.DOTALL)
    found = re.search(r"^license:\s*([\w.+-]+)\s*$", card[1], re.MULTILINE) if card else None
    return found[1] if found else None, None
