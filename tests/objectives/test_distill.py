"""Distillation: the divergence of whole distributions where all tokens are kept, and a lower bound where not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.families import tiny
from tests.stopping import Stopping
from tunesmith import Recipe, UserError, run
from tunesmith.core.batch import Example, pack
from tunesmith.core.distributions import DistributionBatch
from tunesmith.core.errors import Interrupted
from tunesmith.models.language import CausalLM
from tunesmith.objectives.distill import Distill, with_rest
from tunesmith.show import Show
from tunesmith.streams.taught import both, teachers

VOCABULARY = 320


def _distributions(seed: int, size: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    one, other = (torch.log_softmax(2 * torch.randn(5, size, generator=draw), 1) for _ in range(2))
    return one, other


def _whole(objective: Distill, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """The papers' divergences over the whole vocabulary, by torch's own function."""

    def kl(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.kl_div(other, one, log_target=True, reduction="none").sum(1)

    if objective.divergence == "jsd":
        middle = (objective.mix * teacher.exp() + (1 - objective.mix) * student.exp()).log()
        return objective.mix * kl(teacher, middle) + (1 - objective.mix) * kl(student, middle)
    return kl(teacher, student) if objective.divergence == "forward" else kl(student, teacher)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.sampled_from(["forward", "reverse", "jsd"]),
    st.sampled_from([0.1, 0.5, 0.9]),
)
def test_it_is_the_divergence_and_never_more(seed: int, kept: int, which: str, mix: float) -> None:
    objective = Distill(teacher="x", divergence=which, **({"mix": mix} if which == "jsd" else {}))
    teacher, student = _distributions(seed)
    whole = _whole(objective, teacher, student)
    choices, said = both([teacher], [student], kept)
    found = objective.apart(with_rest(said), with_rest(student.gather(1, choices)))
    assert (found <= whole + 2e-5).all() and (found >= -1e-6).all()
    if kept == 30:
        torch.testing.assert_close(found, whole, atol=2e-5, rtol=1e-5)


def test_the_mixture_lies_between_the_two() -> None:
    """Divided by its weight, the mixture's divergence becomes the forward one at one end, and at the other reverse."""
    teacher, student = _distributions(3)
    for mix, which in ((1e-4, "forward"), (1 - 1e-4, "reverse")):
        near = Distill(teacher="x", divergence="jsd", mix=mix).apart(teacher, student) / min(mix, 1 - mix)
        end = Distill(teacher="x", divergence=which).apart(teacher, student)
        torch.testing.assert_close(near, end, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("which", ["forward", "reverse", "jsd"])
def test_a_student_that_is_the_teacher_has_nothing_to_learn(which: str) -> None:
    teacher, _ = _distributions(0)
    student = teacher[:, :7].clone().requires_grad_()
    found = Distill(teacher="x", divergence=which).apart(with_rest(teacher[:, :7]), with_rest(student)).sum()
    found.backward()
    assert student.grad is not None and float(student.grad.abs().max()) < 1e-5
    assert abs(float(found.detach())) < 1e-6


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_gradient_is_that_of_plain_torch_and_of_any_cut(family: str) -> None:
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(4, 300, (n,), generator=draw).tolist() for n in (9, 4, 7)]
    batch = pack([Example(t, [False] + [True] * (len(t) - 1), row) for row, t in enumerate(texts)])
    torch.manual_seed(1)
    teacher = CausalLM(tiny(family))
    torch.manual_seed(2)
    student = CausalLM(tiny(family))
    with torch.no_grad():  # tiny models are seeded by their family: make it another one
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    choices, logprobs = teachers(teacher.distributions(batch, VOCABULARY), VOCABULARY)
    whole = DistributionBatch(batch, choices, logprobs)

    found = []
    halves = whole.halves()
    assert halves is not None
    for passes in ([whole], list(halves)):
        student.zero_grad()
        total = sum(Distill(teacher="x")(student, part).total for part in passes)
        total.backward()
        found.append((float(total), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])))
    student.zero_grad()
    total = torch.zeros(())
    for text in texts:
        own, other = (torch.log_softmax(m.network(torch.tensor([text])).logits[0, :-1], -1) for m in (student, teacher))
        total = total + torch.nn.functional.kl_div(own, other.detach(), log_target=True, reduction="sum")
    total.backward()
    plain = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])
    for value, slope in found:
        assert value == pytest.approx(float(total), rel=1e-4)
        torch.testing.assert_close(slope, plain, atol=2e-4, rtol=1e-3)


def _recipe(base: Path, folder: Path, teacher: Path, **more: Any) -> Recipe:
    rows = folder / "rows.jsonl"
    lines = ({"prompt": f"say {i}", "completion": f"it is {i * 7}"} for i in range(60))
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Recipe(
        base=str(base),
        data=str(rows),
        output=str(folder / "run"),
        objective={"kind": "distill", "teacher": str(teacher), **more},
        train={"threads": 1, "precision": "float32", "learning_rate": 0.01, "max_steps": 6},
        evaluate={"answers": 0, "general": False},
    )


OWN = {"sampled": 0.5, "answer_tokens": 6}


@pytest.mark.parametrize("more", [{}, {"divergence": "reverse", **OWN}, {"divergence": "jsd", "mix": 0.3}], ids=str)
def test_a_run_comes_nearer_to_its_teacher(
    tiny_folder: Callable[[str], Path], tmp_path: Path, more: dict[str, Any]
) -> None:
    result = run(_recipe(tiny_folder("llama"), tmp_path, tiny_folder("qwen3"), **more), Show(lambda _: None))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    # the loss of the first step is over answers of its own, where there are some
    assert result.status == "ok" and losses[-1] < 0.9 * (lines[0]["loss"] if not more else losses[0] / 0.9)
    assert "agreement" in lines[0] and ("answer_length" in lines[0]) == ("sampled" in more)
    assert result.train is not None and (result.train.rollout_seconds is not None) == ("sampled" in more)


def test_an_interrupted_run_writes_the_same_answers_again(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    whole = _recipe(tiny_folder("llama"), tmp_path, tiny_folder("qwen3"), divergence="jsd", **OWN)
    run(whole, Show(lambda _: None))
    cut = whole.model_copy(update={"output": str(tmp_path / "cut")})
    with pytest.raises(Interrupted):
        run(cut, Stopping(lambda _: None))
    run(cut, Show(lambda _: None))
    for file in ("metrics.jsonl", "adapter/adapter_model.safetensors", "items.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes(), file


def test_rows_that_ask_nothing_are_refused_before_the_first_step(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = _recipe(tiny_folder("llama"), tmp_path, tiny_folder("qwen3"), **OWN)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"it is {i} again"}) + "\n" for i in range(60)))
    with pytest.raises(UserError, match=r"objective.sampled: the rows are plain text"):
        run(recipe, Show(lambda _: None))


def test_what_nobody_reads_is_refused() -> None:
    for more, message in (({"mix": 0.3}, "mix: read by divergence=jsd"), ({"answer_tokens": 9}, "give sampled too")):
        with pytest.raises(UserError, match=message):
            Recipe(data="x", objective={"kind": "distill", "teacher": "x", **more})


def test_another_tokenizer_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    tiny("llama").save_pretrained(other)
    for path in tiny_folder("llama").glob("*token*"):
        (other / path.name).write_bytes(path.read_bytes())
    known = json.loads((other / "tokenizer.json").read_text())
    vocabulary = known["model"]["vocab"]
    first, second = list(vocabulary)[20:22]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(known))
    with pytest.raises(UserError, match=r"objective.teacher: .* has another tokenizer than .* \(2 of its"):
        run(_recipe(tiny_folder("llama"), tmp_path, other), Show(lambda _: None))
