import pytest
import torch

from tests.families import FAMILIES, tiny
from tunesmith.core.batch import Example, pack
from tunesmith.methods import LoRA
from tunesmith.models import language
from tunesmith.models.language import CausalLM, choose_way

FAST = {"llama", "llama-tied", "qwen2", "qwen3", "mistral", "mistral-window"}


def _rows(vocabulary, lengths=(13, 4, 21), seed=1):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(vocabulary, (n,), generator=draw).tolist() for n in lengths]


def _plain(network, rows):
    """What transformers itself says, one row at a time."""
    found = []
    for row in rows:
        logits = network(input_ids=torch.tensor([row]), use_cache=False).logits[0].float()
        found.append(torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(row[1:])[:, None])[:, 0])
    return torch.cat(found)


def _right(network, rows):
    """Whether each token is the one that transformers finds most likely."""
    rights = [network(input_ids=torch.tensor([row])).logits[0, :-1].argmax(-1) == torch.tensor(row[1:]) for row in rows]
    return torch.cat(rights)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_transformers(family):
    network = tiny(family).eval()
    rows = _rows(network.config.vocab_size)
    batch = pack([Example(row, [True] * len(row), i) for i, row in enumerate(rows)])
    with torch.no_grad():
        expected = _plain(network, rows)
        model = CausalLM(network)
        assert model.way == ("walk" if family in FAST else "packed")
        assert torch.allclose(model(batch), expected, atol=2e-4, rtol=1e-5)
        scores, padded = model.scores(batch), CausalLM(network, "padded").scores(batch)
        assert torch.allclose(scores[:, 0], expected, atol=2e-4, rtol=1e-5)
        assert torch.equal(scores[:, 1], padded[:, 1]) and torch.equal(scores[:, 1].bool(), _right(network, rows))


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_bfloat16_finds_the_same_way(family):
    assert choose_way(tiny(family, dtype=torch.bfloat16).eval()) == ("walk" if family in FAST else "packed")


@pytest.mark.parametrize("fault", ["neighbours", "numbers"])
def test_a_way_that_is_wrong_is_not_taken(fault, monkeypatch):
    network = tiny("llama").eval()
    honest = language.walk

    def wrong(net, read, positions, packing, wanted=None, recompute=False):
        wanted = torch.arange(len(read)) if wanted is None else wanted
        x = net.get_input_embeddings()(read) if read.ndim == 1 else read
        if fault == "numbers":
            return honest(net, x, positions, packing, wanted) * 1.01
        one = type(packing).of([len(x)])  # everything sees what stands before it in the row
        return honest(net, x, positions, one, wanted)

    monkeypatch.setattr(language, "walk", wrong)
    assert choose_way(network) == "packed"
    monkeypatch.setattr(language, "packed_hidden", wrong)
    assert choose_way(network) == "padded"


def test_only_the_layers_of_the_method_are_in_training_mode():
    network = tiny("gpt2")  # has dropout of its own
    LoRA(rank=2, dropout=0.5).attach(network)
    model = CausalLM(network).train()
    training = {type(m).__name__ for m in network.modules() if m.training}
    assert training == {"LoRALayer"}
    assert not any(m.training for m in model.eval().modules())


def test_a_row_without_labels_gives_no_numbers():
    network = tiny("llama").eval()
    batch = pack([Example([1, 2, 3], [False] * 3, 1)])
    assert CausalLM(network)(batch).shape == (0,)


def test_rows_are_filled_up_with_tokens_that_change_nothing():
    network = tiny("llama", dtype=torch.bfloat16).eval()
    rows = _rows(network.config.vocab_size)
    batch = pack([Example(row, [True] * len(row), i) for i, row in enumerate(rows)])
    filled = language.rounded(batch)
    assert len(filled.tokens) == language.rung(len(batch.tokens)) > len(batch.tokens) == sum(filled.lengths)
    assert filled.units == batch.units
    assert language.rounded(filled) is filled
    model = CausalLM(network).eval()
    assert model.rounds
    with torch.no_grad():
        expected = _plain(network, rows)
        assert (model(batch) - expected).abs().max() < 0.05 * expected.abs().max()


def test_float32_rows_are_as_they_are():
    assert not CausalLM(tiny("llama").eval()).rounds
