"""Tiny random causal language models of every family that the suite must serve, and a tokenizer for them."""

import zlib
from collections.abc import Callable
from functools import cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    RobertaConfig,
)

from tunesmith.core.headed import NAME, Head, Mark

VOCABULARY = 320  # 256 bytes, 4 special tokens, 60 merges
PAD, EOS, START, END = "<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPREAD = 0.2  # of random weights: wide enough that logits differ clearly between tokens

# Written for this suite.
_TEXT = """The little mill stood at the end of the river, where the water ran fast and the stones were round.
Every morning the miller opened the gate, and every evening he shut it again. He read the weather in the colour of
the hills: when they were blue there would be rain, and when they were grey there would be more rain. The people of the
village said that the bread of the mill was the best bread they had ever eaten, and that the miller was the worst
singer they had ever heard. "What do you want?" asked the miller. "I want you to stop," answered the cat."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _sizes(**more: object) -> dict[str, object]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        **more,
    }


def _gpt2() -> GPT2Config:
    return GPT2Config(
        vocab_size=VOCABULARY, n_positions=256, n_embd=48, n_layer=2, n_head=4, bos_token_id=2, eos_token_id=3,
        pad_token_id=0,
    )  # fmt: skip


def _gpt_neox() -> GPTNeoXConfig:
    sizes = _sizes()
    del sizes["num_key_value_heads"]
    return GPTNeoXConfig(**sizes, rotary_pct=0.25)


def _gemma3() -> Gemma3TextConfig:
    layers = ["sliding_attention", "sliding_attention", "full_attention"]
    return Gemma3TextConfig(
        **_sizes(num_hidden_layers=3, tie_word_embeddings=True, head_dim=16),
        sliding_window=6, layer_types=layers, query_pre_attn_scalar=16,
    )  # fmt: skip


FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_sizes()),
    "llama-tied": lambda: LlamaConfig(**_sizes(tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2Config(**_sizes()),  # biases on queries, keys and values
    "qwen3": lambda: Qwen3Config(**_sizes(head_dim=16)),  # norms on queries and keys
    "gemma": lambda: GemmaConfig(**_sizes(tie_word_embeddings=True, head_dim=16)),
    "gemma3": _gemma3,  # two layers with a window, one without
    "mistral": lambda: MistralConfig(**_sizes(sliding_window=None)),
    "mistral-window": lambda: MistralConfig(**_sizes(sliding_window=6)),
    "gpt2": _gpt2,  # Conv1D (transposed weights), learned positions, tied head
    "gpt_neox": _gpt_neox,  # parallel residual, one matrix for queries, keys and values, partial rotation
    "mixtral": lambda: MixtralConfig(**_sizes(num_local_experts=4, num_experts_per_tok=2)),
    "qwen3_moe": lambda: Qwen3MoeConfig(
        **_sizes(head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True)
    ),
}
"""Family -> its configuration. A name after a dash is a variant of the same architecture."""


def _bert() -> dict[str, object]:
    sizes = _sizes()
    return {key: value for key, value in sizes.items() if key not in ("num_key_value_heads", "tie_word_embeddings")}


ENCODERS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**_bert()),
    "roberta": lambda: RobertaConfig(**_bert() | {"pad_token_id": 1}),  # positions begin behind the padding token's
    "distilbert": lambda: DistilBertConfig(
        vocab_size=VOCABULARY, dim=48, hidden_dim=80, n_layers=2, n_heads=4, max_position_embeddings=256
    ),
}
"""What looks both ways, and can only be scored."""


def tiny_scored(family: str, count: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A random model of `family` or of an encoder, with a head of `count` scores, marked as the loader does it."""
    config = {**FAMILIES, **ENCODERS}[family]()
    config.num_labels = count
    network = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa")
    _randomize(network, family, seed)
    modules = {"distilbert": ("classifier", "pre_classifier"), "bert": ("classifier",), "roberta": ("classifier",)}
    head = Head(tuple(f"label {n}" for n in range(count)))
    setattr(network, NAME, Mark(head, modules.get(family, ("score",)), family in ENCODERS))
    return network.to(dtype).eval()


def tiny(family: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A random model of `family`, in evaluation mode; equal arguments give equal weights."""
    network = AutoModelForCausalLM.from_config(FAMILIES[family](), attn_implementation="sdpa")
    _randomize(network, family, seed)
    return network.to(dtype).eval()


def _randomize(network: PreTrainedModel, family: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed + zlib.crc32(family.encode()))
    with torch.no_grad():
        for name, parameter in network.named_parameters():  # a tied weight appears once
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(SPREAD * noise)
            else:  # norms start at their own constant (1, or 0 in Gemma), biases at 0
                parameter.copy_(parameter + SPREAD * noise)
            assert parameter.isfinite().all(), name


@cache
def _trained() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, EOS, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT.splitlines(), trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer.to_str()


def tiny_tokenizer(chat: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 320 tokens: any text goes there and back. `chat`: with a ChatML template.

    Turns end with <|im_end|>, which is also the end of sequence, as in SmolLM2-Instruct.
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()),
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=EOS,
        clean_up_tokenization_spaces=False,
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
