import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.families import ENCODERS, tiny, tiny_scored, tiny_tokenizer
from tests.stopping import Stopping
from tunesmith import Recipe, run
from tunesmith.core.errors import Interrupted
from tunesmith.core.headed import head_modules
from tunesmith.core.targets import Target, pack_targets
from tunesmith.objectives.classify import Classify
from tunesmith.opening import Opened, open_base, open_source
from tunesmith.show import Show
from tunesmith.stages import attach, feed_of, model_of
from tunesmith.streams.answers import no_reference
from tunesmith.tasks.linear_probe import Line, Seen, fitted, last_layer
from tunesmith.tasks.task import validate

SMALL: dict[str, Any] = {"threads": 1, "precision": "float32", "learning_rate": 0.001, "max_steps": 6, "batch_size": 8}
FITTED = {"kind": "classify", "head_start": "fitted"}
MOOD = {"good": ("bread", "river", "mill"), "bad": ("rain", "cat"), "fair": ("stone", "hill")}


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def moods(tmp_path: Path) -> str:
    """The last word tells the label."""
    draw, rows = random.Random(0), []
    for number in range(60):
        label = draw.choice(list(MOOD))
        rows.append({"text": f"{number}: the {draw.choice(MOOD[label])}", "label": label})
    return _write(tmp_path / "moods.jsonl", rows)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("probed")

    def made(family: str) -> Path:
        path = root / family
        if not path.exists():
            base = tiny_scored(family).base_model if family in ENCODERS else tiny(family)
            base.save_pretrained(path)
            tiny_tokenizer(chat=family not in ENCODERS).save_pretrained(path)
        return path

    return made


def _opened(base: Path, data: Any, objective: Any = FITTED, **more: Any) -> tuple[Opened, Any, str]:
    """-> what is opened, its model with the method attached, and what was said of the head."""
    recipe = Recipe(base=str(base), data=data, objective=objective, **{"train": SMALL, **more})
    opened = open_base(open_source(recipe, lambda _: None), None, lambda _: None)
    model, said = model_of(opened), list[str]()
    attach(opened, model, said.append)
    return opened, model, " ".join(said)


def _head(opened: Opened) -> torch.nn.Linear:
    return last_layer(opened.base.network, head_modules(opened.base.network)[0])[1]


def test_the_fit_is_where_loss_and_penalty_have_no_slope() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=draw, dtype=torch.float64)
    wanted = (features[:, 0] > 0).long() + (features[:, 1] > 0.5).long()
    seen = [
        Seen(
            pack_targets([Target([1], [False], row=i, target=float(y)) for i, y in part]),
            features[[i for i, _ in part]],
        )
        for part in (list(enumerate(wanted.tolist()))[:15], list(enumerate(wanted.tolist()))[15:])
    ]
    start = Line(torch.zeros(6, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    found = fitted(Classify(), seen, 0.1, start)
    assert found.bias is not None
    weight, bias = found.weight.clone().requires_grad_(), found.bias.clone().requires_grad_()
    scores = features @ weight + bias  # the formula by hand
    loss = torch.nn.functional.cross_entropy(scores, wanted) + 0.05 * weight.square().sum()
    loss.backward()
    assert weight.grad is not None and bias.grad is not None
    assert max(float(weight.grad.abs().max()), float(bias.grad.abs().max())) < 1e-5
    assert float((scores.argmax(1) == wanted).double().mean()) > 0.8


@pytest.mark.parametrize(
    ("family", "method"), [("llama", "lora"), ("gpt2", "full"), ("bert", "lora"), ("roberta", "lora")]
)
def test_training_begins_knowing_more_than_by_chance(
    family: str, method: str, folder: Callable[[str], Path], moods: str
) -> None:
    losses = {}
    for start in ("random", "fitted"):
        objective = {"kind": "classify", "head_start": start}
        opened, model, _ = _opened(folder(family), moods, objective, method=method)
        passes = feed_of(opened, model, lambda _: no_reference)(opened.prepared.train, None)
        losses[start] = validate(model, opened.recipe.objective, passes, opened.device)["loss"]
    assert losses["fitted"] < 0.9 * losses["random"]


def test_numbers_and_pairs_are_fitted_too(folder: Callable[[str], Path], tmp_path: Path) -> None:
    draw = random.Random(0)
    words = [draw.choices(("cat", "river"), k=3) for _ in range(60)]
    numbers = [{"text": " ".join(some), "label": 100 + 10 * some.count("cat")} for some in words]
    pairs = [{"prompt": f"Question {n}?", "chosen": "bread", "rejected": "rain"} for n in range(60)]
    for kind, rows, chance in (("regress", numbers, 1.0), ("reward", pairs, 0.69)):
        data = _write(tmp_path / f"{kind}.jsonl", rows)
        _, _, said = _opened(folder("llama"), data, {"kind": kind, "head_start": "fitted"})
        assert float(said.split("(loss ")[1].split(" ")[0]) < 0.8 * chance, said


def test_the_fit_is_one_whatever_the_passes_and_the_run_before_it(folder: Callable[[str], Path], moods: str) -> None:
    heads = [_head(_opened(folder("llama"), moods, train={**SMALL, "tokens_per_pass": n})[0]) for n in (40, 4096, 4096)]
    small, large, again = (head.weight.detach() for head in heads)
    assert torch.equal(large, again)
    assert float((small - large).abs().max()) < 1e-3 * float(large.abs().max())


def test_a_trained_head_of_the_base_is_left_as_it_is(folder: Callable[[str], Path], moods: str, tmp_path: Path) -> None:
    network = tiny_scored("llama")
    network.save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    opened, _, said = _opened(tmp_path / "base", moods)
    assert "own trained head" in said
    assert torch.equal(_head(opened).weight, network.score.weight)


def test_five_rows_at_least(folder: Callable[[str], Path], moods: str, tmp_path: Path) -> None:
    few = _write(tmp_path / "few.jsonl", [json.loads(line) for line in Path(moods).read_text().splitlines()[:4]])
    assert "too few" in _opened(folder("llama"), {"train": few, "split": [1, 0, 0]})[2]


def test_a_run_that_is_stopped_ends_as_one_that_is_not(
    folder: Callable[[str], Path], moods: str, tmp_path: Path
) -> None:
    made = []
    for name in ("whole", "parts"):
        recipe = Recipe(
            base=str(folder("llama")), data=moods, objective=FITTED, train=SMALL, output=str(tmp_path / name)
        )
        if name == "parts":
            with pytest.raises(Interrupted):
                run(recipe, Stopping(lambda _: None))
        run(recipe, Show(lambda _: None))
        made.append((tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes())
    assert made[0] == made[1]
