"""`tunesmith.load`: the tuned model, the base, and the numbers of the run again."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tunesmith
from tunesmith import UserError, load
from tunesmith.models.generate import Sampling
from tunesmith.opening import open_source, read_run_recipe


def _answers(run: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((run / "examples.json").read_text())
    return found


def test_answers_are_those_of_the_run_with_the_adapter_on_and_off(trained: Path) -> None:
    model = load(trained)
    assert model.kind == "adapter"
    for one in _answers(trained):
        assert model.generate(one["prompt"], tokens=8).strip() == one["tuned"]
        turns = [{"role": "user", "content": one["prompt"]}]
        assert "".join(model.stream(turns, adapter="off", sampling=Sampling(tokens=8))).strip() == one["base"]
    prompts = [one["prompt"] for one in _answers(trained)]
    assert [text.strip() for text in model.generate_all(prompts, tokens=8)] == [o["tuned"] for o in _answers(trained)]


def test_a_whole_model_has_its_base_beside_it(trained_whole: Path, tiny_folder: Callable[[str], Path]) -> None:
    model, base = load(trained_whole), load(tiny_folder("llama"), precision="float32")
    assert (model.kind, base.kind) == ("model", "base")
    prompt, answer = "hello miller", "good"
    assert model.logprob(prompt, answer, adapter="off") == pytest.approx(base.logprob(prompt, answer), rel=1e-5)
    assert model.logprob(prompt, answer) != pytest.approx(base.logprob(prompt, answer), rel=1e-3)


def test_logprob_is_what_the_run_measured(trained: Path) -> None:
    """Summed over the test rows and divided by the number of their tokens, it is the loss of the evaluation."""
    model, source = load(trained), open_source(read_run_recipe(trained), lambda _: None)
    measured = json.loads((trained / "evaluation.json").read_text())
    for side, part in (("on", "after"), ("off", "before")):
        nats = tokens = 0.0
        for item in source.prepared.test_items:
            nats -= model.logprob(item.prompt_text, item.answer, adapter=side)  # type: ignore[arg-type]
            tokens += len(item.choices[source.prepared.labels.index(item.answer)])
        assert nats / tokens == pytest.approx(measured[part]["loss"], rel=1e-4)


def test_an_earlier_turn_is_context_and_not_counted(trained: Path) -> None:
    model = load(trained)
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "good day"},
        {"role": "user", "content": "again"},
    ]
    before = model.asked(turns)
    whole = [*turns, {"role": "assistant", "content": "bad"}]
    text = model.tokenizer.apply_chat_template(whole, tokenize=False).rstrip("\n")
    tokens = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokens[: len(before)] == before
    with torch.no_grad():
        logp = model.network(torch.tensor([tokens])).logits[0].log_softmax(-1)
    expected = sum(float(logp[t - 1, tokens[t]]) for t in range(len(before), len(tokens)))
    assert model.logprob(turns, "bad") == pytest.approx(expected, rel=1e-4)


def test_adapter_off_is_the_base_and_comes_back(trained: Path, tiny_folder: Callable[[str], Path]) -> None:
    model, base = load(trained), load(tiny_folder("llama"), precision="float32")
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        tuned, alone = model.network(tokens).logits, base.network(tokens).logits
        with model.adapter_off() as network:
            assert torch.allclose(network(tokens).logits, alone, rtol=1e-5, atol=1e-5)
        assert torch.equal(model.network(tokens).logits, tuned) and not torch.equal(tuned, alone)


def test_an_adapter_folder_alone(trained: Path, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    adapter = shutil.copytree(trained / "adapter", tmp_path / "adapter")
    prompt = _answers(trained)[0]["prompt"]
    assert (
        load(adapter, base=str(tiny_folder("llama"))).generate(prompt, tokens=8).strip()
        == _answers(trained)[0]["tuned"]
    )
    with pytest.raises(UserError, match="another base"):
        load(adapter, base=str(tiny_folder("qwen2")))


def test_what_cannot_be_loaded(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="called `nowhere`"):
        load("nowhere")
    run = shutil.copytree(trained, tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"status": "failed"}))
    with pytest.raises(UserError, match="did not end well"):
        load(run)
    (run / "result.json").write_text(json.dumps(result))
    shutil.rmtree(run / "adapter")
    with pytest.raises(UserError, match="adapter/ is gone"):
        load(run)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "empty"),
        ([], "empty"),
        ([{"role": "usr", "content": "x"}], "unknown role `usr`"),
        ([{"role": "assistant", "content": "x"}], "the last message is the assistant's"),
        ("word " * 300, "the model reads 256"),
    ],
)
def test_prompts_that_cannot_be_asked(trained: Path, prompt: str | list[dict[str, str]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(trained).generate(prompt)


def test_the_name_run_is_the_function_whatever_was_imported_first() -> None:
    code = (
        "import tunesmith.run; from tunesmith.run import run as a; from tunesmith import run as b; "
        "assert a is b is tunesmith.run"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(tunesmith.__all__) <= set(dir(tunesmith))
    assert all(getattr(tunesmith, name) is not None for name in tunesmith.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tunesmith.nonsense  # noqa: B018
