"""Distillation: the divergence of whole distributions where all tokens are kept, and a lower bound where not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.families import tiny
from tunesmith import Recipe, UserError, run
from tunesmith.core.batch import Example, pack
from tunesmith.core.distributions import DistributionBatch
from tunesmith.models.language import CausalLM
from tunesmith.objectives.distill import Distill, divergence
from tunesmith.show import Show

VOCABULARY = 320


def _distributions(seed: int, size: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    one, other = (torch.log_softmax(2 * torch.randn(5, size, generator=draw), 1) for _ in range(2))
    return one, other


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_it_is_the_divergence_and_never_more(seed: int, kept: int) -> None:
    teacher, student = _distributions(seed)
    whole = torch.nn.functional.kl_div(student, teacher, log_target=True, reduction="none").sum(1)
    top, choices = teacher.topk(kept, 1)
    found = divergence(top, student.gather(1, choices))
    assert (found <= whole + 1e-5).all() and (found >= -1e-6).all()
    if kept == 30:
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_a_student_that_is_the_teacher_has_nothing_to_learn() -> None:
    teacher, _ = _distributions(0)
    student = teacher[:, :7].clone().requires_grad_()
    found = divergence(teacher[:, :7], student).sum()
    found.backward()
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
    choices, logprobs = teacher.likeliest(batch, VOCABULARY, VOCABULARY)
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


def _recipe(base: Path, folder: Path, teacher: Path) -> Recipe:
    rows = folder / "rows.jsonl"
    lines = ({"prompt": f"say {i}", "completion": f"it is {i * 7}"} for i in range(60))
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Recipe(
        base=str(base),
        data=str(rows),
        output=str(folder / "run"),
        objective={"kind": "distill", "teacher": str(teacher)},
        train={"threads": 1, "precision": "float32", "learning_rate": 0.01, "max_steps": 6},
        evaluate={"answers": 0, "general": False},
    )


def test_a_run_comes_nearer_to_its_teacher(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    result = run(_recipe(tiny_folder("llama"), tmp_path, tiny_folder("qwen3")), Show(lambda _: None))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert result.status == "ok" and losses[-1] < 0.9 * lines[0]["loss"] and "agreement" in lines[0]


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
