"""What a denoiser is told: prompts as tokens, and tokens as what the encoders of a family make of them.

Shapes: B prompts, S tokens, D width, P pooled width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.models.diffusion.family import Family
from tunesmith.models.diffusion.words import spelled

Told = tuple[Tensor, Tensor | None]  # context (B, S, D), pooled (B, P)


def token_ids(parts: Mapping[str, Any], family: Family, texts: Sequence[str]) -> dict[str, Tensor]:
    """-> (B, S) by the name of the encoder, as its tokenizer writes it, padded to its full length."""
    return {
        encoder: _ids(parts[tokenizer], parts[encoder], texts)
        for encoder, tokenizer in zip(family.encoders, family.tokenizers, strict=True)
    }


def _ids(tokenizer: Any, encoder: Any, texts: Sequence[str]) -> Tensor:
    longest = _longest(tokenizer, encoder)
    texts = [spelled(tokenizer, text) for text in texts]
    found = tokenizer(texts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt")
    return found.input_ids


def _longest(tokenizer: Any, encoder: Any) -> int:
    positions = getattr(encoder.config, "max_position_embeddings", None)
    if positions is None:  # T5 has none: what the pipelines of its families ask for
        return 256 if encoder.config.model_type == "t5" else int(tokenizer.model_max_length)
    return min(int(tokenizer.model_max_length), int(positions))


def refuse_long(parts: Mapping[str, Any], family: Family, texts: Sequence[str]) -> list[str]:
    """-> sentences about prompts that an encoder does not read to their end."""
    said = []
    for encoder, tokenizer in zip(family.encoders, family.tokenizers, strict=True):
        limit = _longest(parts[tokenizer], parts[encoder])
        written = [spelled(parts[tokenizer], text) for text in texts]
        lengths = [len(ids) for ids in parts[tokenizer](written).input_ids]
        long = [text for text, length in zip(texts, lengths, strict=True) if length > limit]
        if long:
            said.append(
                f"warning: {len(long)} captions are longer than the {limit} tokens that {encoder} reads; "
                f"their ends are not read, the first is {long[0][:60]!r}"
            )
    return said


def told_by(parts: Mapping[str, Any], family: Family) -> Callable[[Mapping[str, Tensor]], Told]:
    """-> from token ids to what the denoiser is told, through the encoders in `parts`; gradients flow."""
    return {"sd": _sd, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}[family.name](parts)


def _sd(parts: Mapping[str, Any]) -> Callable[[Mapping[str, Tensor]], Told]:
    return lambda ids: (parts["text_encoder"](ids["text_encoder"])[0], None)


def _sdxl(parts: Mapping[str, Any]) -> Callable[[Mapping[str, Tensor]], Told]:
    """The last layer but one of both encoders, side by side; the pooled prompt is the second one's."""

    def told(ids: Mapping[str, Tensor]) -> Told:
        both = [parts[name](ids[name], output_hidden_states=True) for name in ("text_encoder", "text_encoder_2")]
        return torch.cat([one.hidden_states[-2] for one in both], -1), both[1].text_embeds

    return told


def _sd3(parts: Mapping[str, Any]) -> Callable[[Mapping[str, Tensor]], Told]:
    """Two CLIPs side by side, filled up with zeros to the width of T5, and T5 behind them."""

    def told(ids: Mapping[str, Tensor]) -> Told:
        clips = [parts[name](ids[name], output_hidden_states=True) for name in ("text_encoder", "text_encoder_2")]
        clip = torch.cat([one.hidden_states[-2] for one in clips], -1)
        t5 = parts["text_encoder_3"](ids["text_encoder_3"])[0]
        clip = torch.nn.functional.pad(clip, (0, t5.shape[-1] - clip.shape[-1]))
        return torch.cat([clip, t5], 1), torch.cat([one.text_embeds for one in clips], -1)

    return told


def _flux(parts: Mapping[str, Any]) -> Callable[[Mapping[str, Tensor]], Told]:
    def told(ids: Mapping[str, Tensor]) -> Told:
        pooled = parts["text_encoder"](ids["text_encoder"]).pooler_output
        return parts["text_encoder_2"](ids["text_encoder_2"])[0], pooled

    return told


def unread(family: Family, parts: Mapping[str, Any]) -> tuple[str, ...]:
    """-> how the names of those parameters begin whose work nobody reads: no gradient comes there."""
    if family.name == "sd3":  # the last block makes no more of the prompt
        return (f"transformer.transformer_blocks.{parts['transformer'].config.num_layers - 1}.attn.add_q_proj.",)
    if family.name != "sdxl":
        return ()
    encoder = parts["text_encoder"]  # of which the last layer but one is read
    inner = "text_encoder.text_model." if hasattr(encoder, "text_model") else "text_encoder."
    last = encoder.config.num_hidden_layers - 1
    return (f"{inner}encoder.layers.{last}.", f"{inner}final_layer_norm.")


def refuse_learning(family: Family) -> None:
    """UserError where the encoders of a family are not trained."""
    if family.flow:
        raise UserError(f"objective.text_encoder: the encoders of {family.name} stay frozen; remove it")
