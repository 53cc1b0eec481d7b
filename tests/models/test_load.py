import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.families import FAMILIES, tiny, tiny_tokenizer
from tests.gguf_file import write_gguf
from tunesmith.core.errors import UserError
from tunesmith.models.load import Base, Place, load_base

Folder = Callable[[str], Path]


def _load(path: Path, cache: Path, dtype: torch.dtype = torch.float32, said: list[str] | None = None) -> Base:
    return load_base(Place("it", path), dtype=dtype, cache=cache, say=(said if said is not None else []).append)


@pytest.fixture
def copy(tiny_folder: Folder, tmp_path: Path) -> Path:
    """A folder of a tiny Llama that a test may spoil."""
    return Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_with_its_own_weights(family: str, tiny_folder: Folder, tmp_path: Path) -> None:
    said: list[str] = []
    base = _load(tiny_folder(family), tmp_path, said=said)
    tokens = torch.arange(20, 32)[None]
    with torch.no_grad():
        assert torch.equal(base.network(tokens).logits, tiny(family)(tokens).logits)
    head, embedding = base.network.get_output_embeddings().weight, base.network.get_input_embeddings().weight
    assert (head is embedding) == base.network.config.tie_word_embeddings
    assert base.context == 256 and not base.network.training and not said
    assert base.tokenizer.chat_template


def test_it_loads_in_the_precision_asked_for(tiny_folder: Folder, tmp_path: Path) -> None:
    base = _load(tiny_folder("gemma3"), tmp_path, torch.bfloat16)
    assert {p.dtype for p in base.network.parameters()} == {torch.bfloat16}


def test_a_gguf_file_is_a_base(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", tiny("llama"), tiny_tokenizer())
    first, second = (_load(path, tmp_path / "cache", torch.bfloat16) for _ in range(2))
    assert first.folder == second.folder and first.folder.parent.parent == tmp_path / "cache"
    assert first.fingerprint == second.fingerprint
    assert first.licence == "mit" and first.note == "stored as F32 to bfloat16"
    assert torch.equal(first.network.lm_head.weight, tiny("llama").lm_head.weight.bfloat16())


def test_the_licence_is_read_from_the_card(copy: Path, tmp_path: Path) -> None:
    assert _load(copy, tmp_path).licence is None
    (copy / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\nlicense: other\n")
    assert _load(copy, tmp_path).licence == "apache-2.0"


def test_shards_load_as_one(copy: Path, tmp_path: Path) -> None:
    tiny("llama").save_pretrained(copy, max_shard_size="60KB")
    (copy / "model.safetensors").unlink()
    assert len(list(copy.glob("*.safetensors"))) > 2
    base = _load(copy, tmp_path)
    assert torch.equal(base.network.lm_head.weight, tiny("llama").lm_head.weight)


def test_keys_that_name_code_are_not_used(copy: Path, tmp_path: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('code of a model was run')")
    _edit(
        copy,
        auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
        trust_remote_code=True,
        _attn_implementation_internal="someone/kernel",
        _attn_implementation="someone/kernel",
    )
    said: list[str] = []
    base = _load(copy, tmp_path, said=said)
    assert type(base.network).__module__.startswith("transformers.")
    assert base.network.config._attn_implementation == "sdpa"
    assert len(said) == 1 and "`auto_map`, `trust_remote_code`, `_attn_implementation_internal` name code" in said[0]


REFUSED: dict[str, dict[str, object]] = {
    "`model_type` is missing": {"model_type": None},
    "`lama` is no family that transformers knows; did you mean `llama`": {"model_type": "lama"},
    r"brings its own code, which is never run": {"model_type": "secret", "auto_map": {"AutoConfig": "x.Y"}},
    "not a language model that writes text: BertForMaskedLM": {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
    },
    "not a language model that writes text: bert": {"model_type": "bert", "architectures": None},
    "not a language model that writes text: ViTModel": {"model_type": "vit", "architectures": ["ViTModel"]},
    "not a language model that writes text: T5For": {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
    },
    "reads pictures or sound too": {"vision_config": {}},
    "weights are quantised": {"quantization_config": {"quant_method": "gptq"}},
    "`num_hidden_layers` is 1000000000": {"num_hidden_layers": 10**9},
    "`hidden_size` is -48": {"hidden_size": -48},
    "`vocab_size` is 320.5": {"vocab_size": 320.5},
    "`num_attention_heads` is four": {"num_attention_heads": "four"},
    "`vocab_size` is 321, but no tensor": {"vocab_size": 321},
    "900 layers, but the weights have 2": {"num_hidden_layers": 900},
    "transformers cannot load the model": {"intermediate_size": 81},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_configuration_that_cannot_serve_is_refused(reason: str, copy: Path, tmp_path: Path) -> None:
    _edit(copy, **REFUSED[reason])
    with pytest.raises(UserError, match=reason) as caught:
        _load(copy, tmp_path)
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_other_kinds_of_folders_are_refused_by_what_they_are(copy: Path, tmp_path: Path) -> None:
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="holds an adapter beside the model"):
        _load(copy, tmp_path)
    (copy / "config.json").unlink()
    with pytest.raises(UserError, match="an adapter, not a base"):
        _load(copy, tmp_path)
    (copy / "model_index.json").write_text("{}")
    with pytest.raises(UserError, match="not a language model: this is an image model"):
        _load(copy, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"empty: no config\.json"):
        _load(empty, tmp_path)
    (empty / "x.gguf").touch()
    with pytest.raises(UserError, match=r"name it: .*x\.gguf"):
        _load(empty, tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        _load(tmp_path / "nothing", tmp_path)


def test_broken_files_are_named(copy: Path, tmp_path: Path) -> None:
    weights, config = copy / "model.safetensors", copy / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors: truncated: 100 of"):
        _load(copy, tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="the weights are missing"):
        _load(copy, tmp_path)
    weights.write_bytes(whole)
    config.write_text(config.read_text()[:-20])
    with pytest.raises(UserError, match=r"config\.json: broken JSON"):
        _load(copy, tmp_path)


def test_weights_that_are_missing_are_never_made_up(copy: Path, tmp_path: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"1 weights are missing, the first is `model\.layers\.1\.mlp\.up_proj\.weight`"
    ):
        _load(copy, tmp_path)


def test_not_a_number_is_found(copy: Path, tmp_path: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.0.self_attn.k_proj.weight"][1, 1] = torch.nan
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"`model\.layers\.0\.self_attn\.k_proj\.weight` holds 1 values that are NaN"):
        _load(copy, tmp_path)


def test_tokenizers_that_cannot_serve_are_refused(copy: Path, tmp_path: Path) -> None:
    whole = (copy / "tokenizer.json").read_text()
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="the tokenizer cannot be read"):
        _load(copy, tmp_path)
    (copy / "tokenizer.json").write_text(whole[:-9])
    with pytest.raises(UserError, match=r"tokenizer\.json: broken JSON"):
        _load(copy, tmp_path)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer \(tokenizer\.json is missing\)"):
        _load(copy, tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["extra"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(UserError, match="the tokenizer has 321 tokens, the model only 320"):
        _load(copy, tmp_path)


def test_a_tokenizer_with_code_of_its_own_does_not_run_it(copy: Path, tmp_path: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('code of a model was run')")
    path = copy / "tokenizer_config.json"
    changes = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Slow", "evil.Fast"]}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    try:
        assert type(_load(copy, tmp_path).tokenizer).__module__.startswith("transformers.")
    except UserError as error:
        assert "the tokenizer cannot be read" in str(error)
