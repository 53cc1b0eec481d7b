"""New rows behind the table of an encoder: they alone learn, off they are what they began as, a plain one has them."""

import pytest
import torch
from transformers import CLIPTextModel

from tests.painters import _encoder, tiny_words
from tunesmith.core.errors import UserError
from tunesmith.core.word import Word
from tunesmith.methods.activity import base_only
from tunesmith.methods.lora import LoRA
from tunesmith.methods.words import LearnedRows, attach_rows, grow, rows_of
from tunesmith.models.diffusion.family import FAMILIES
from tunesmith.models.diffusion.words import spelled, teach

SD = FAMILIES["StableDiffusionPipeline"]


def _taught(vectors: int = 2, dtype: torch.dtype = torch.float32):
    torch.manual_seed(0)
    encoder, tokenizer = _encoder(CLIPTextModel).to(dtype).requires_grad_(False).eval(), tiny_words()
    place = teach({"tokenizer": tokenizer}, SD, Word("<zwx>", "a", vectors))["text_encoder"]
    attach_rows(encoder, place.ids, place.begins)
    return encoder, tokenizer


def _ids(tokenizer, text: str):
    return tokenizer(spelled(tokenizer, text), return_tensors="pt").input_ids


def test_a_word_of_several_vectors_is_written_out_as_diffusers_does():
    from diffusers.loaders import TextualInversionLoaderMixin

    _, tokenizer = _taught(3)
    for text in ("a <zwx> b", "<zwx>", "zwx", "x <zwx>, <zwx>"):
        assert spelled(tokenizer, text) == TextualInversionLoaderMixin().maybe_convert_prompt(text, tokenizer)
    assert spelled(tokenizer, "<zwx>") == "<zwx> <zwx>_1 <zwx>_2"
    assert tokenizer.tokenize(spelled(tokenizer, "b <zwx>")) == ["b</w>", "<zwx>", "<zwx>_1", "<zwx>_2"]


def test_the_new_rows_alone_learn_and_each_of_them():
    encoder, tokenizer = _taught()
    before = {name: value.clone() for name, value in encoder.named_parameters() if not value.requires_grad}
    optimizer = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], lr=1e-2)
    encoder(_ids(tokenizer, "b <zwx> c"))[0].square().sum().backward()
    optimizer.step()
    (trained,) = (name for name, p in encoder.named_parameters() if p.requires_grad)
    assert trained.endswith("rows.weight")
    assert all(torch.equal(value, encoder.get_parameter(name)) for name, value in before.items())
    assert ((rows_of(encoder).rows.weight - rows_of(encoder).start()).abs().sum(1) > 0).all()


def test_off_it_is_the_word_it_began_as_and_between_it_is_between():
    encoder, tokenizer = _taught(1)
    with torch.no_grad():
        rows_of(encoder).rows.weight.add_(1.0)
        on, as_word = (encoder(_ids(tokenizer, text))[0] for text in ("b <zwx> c", "b a c"))
        with base_only(encoder):
            off = encoder(_ids(tokenizer, "b <zwx> c"))[0]
        assert torch.equal(off, as_word) and not torch.allclose(on, off)
        layer = rows_of(encoder)
        layer.strength = 0.5
        half = layer(torch.tensor([[layer.first]]))
    torch.testing.assert_close(half[0, 0], layer.start()[0] + 0.5)
    assert torch.equal(encoder(_ids(tokenizer, "b a c"))[0], as_word)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_plain_table_with_the_rows_says_the_same(dtype, tmp_path):
    encoder, tokenizer = _taught(2, dtype)
    with torch.no_grad():
        rows_of(encoder).rows.weight.add_(0.3)
        wanted = encoder(_ids(tokenizer, "b <zwx> c"))[0]
        assert encoder.dtype == wanted.dtype == dtype
        grow(encoder)
        assert torch.equal(encoder(_ids(tokenizer, "b <zwx> c"))[0], wanted)
        assert not [m for m in encoder.modules() if isinstance(m, LearnedRows)]
        encoder.save_pretrained(tmp_path)
        again = CLIPTextModel.from_pretrained(tmp_path, dtype=dtype).eval()
        assert torch.equal(again(_ids(tokenizer, "b <zwx> c"))[0], wanted)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (Word("b", "a"), "knows `b` already, .* such as <my-b>"),
        (Word("<|endoftext|>", "a"), "knows `<|endoftext|>` already"),
        (Word("<zwx>", "cat"), r"`cat` is 3 tokens for this base \(c, a, t</w>\); name a word of one token"),
        (Word("<zwx>", "cat", 2), "as many as objective.vectors"),
    ],
)
def test_a_word_that_cannot_be_taught_leaves_the_tokenizer_alone(word, message):
    tokenizer = tiny_words()
    with pytest.raises(UserError, match=message.replace("|", r"\|")) as raised:
        teach({"tokenizer": tokenizer}, SD, word)
    assert len(tokenizer) == len(tiny_words()) and "\n" not in str(raised.value)


def test_a_word_of_as_many_tokens_as_vectors_begins_with_each():
    tokenizer = tiny_words()
    place = teach({"tokenizer": tokenizer}, SD, Word("<zwx>", "cat", 3))["text_encoder"]
    assert tokenizer.convert_ids_to_tokens(list(place.begins)) == ["c", "a", "t</w>"] and len(set(place.begins)) == 3
    with pytest.raises(UserError, match="knows `<zwx>` already"):
        teach({"tokenizer": tokenizer}, SD, Word("<zwx>", "a"))


def test_a_table_that_a_method_adapts_is_refused():
    encoder = _encoder(CLIPTextModel)
    LoRA(rank=2, targets=("token_embedding",)).attach(encoder)
    with pytest.raises(UserError, match=r"method\.targets names the table"):
        attach_rows(encoder, [514], [3])
