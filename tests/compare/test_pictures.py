"""A comparison on pictures: methods and objectives over one folder, from a tiny base to the table and the page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.painters import tiny_pipeline
from tunesmith.compare import course
from tunesmith.compare.__main__ import JOBS
from tunesmith.compare.asked import asked
from tunesmith.compare.comparison import compare
from tunesmith.compare.table import Runs
from tunesmith.core.errors import UserError
from tunesmith.recipe import read_values
from tunesmith.report.comparison_terminal import print_table

SUBJECT = ["objective.kind=dreambooth", "objective.prompt=a zwx ball", "objective.class_prompt=a ball"]
QUICK = ["train.precision=float32", "train.threads=1", "train.batch_size=4", "train.max_steps=3", "data.split=0.5"]
Values = Callable[..., dict[str, Any]]


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Values:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    balls = tmp_path / "balls"
    balls.mkdir()
    for place, colour in enumerate(["red", "green", "blue", "yellow", "purple", "orange", "black", "white", "pink"]):
        picture = Image.new("RGB", (16, 16), colour)
        picture.paste((20 * place, 0, 200), (place, place, place + 6, place + 5))
        picture.save(balls / f"{colour} ball {place}.png")
    base = tiny_pipeline("sd", tmp_path / "base")
    return lambda *words: read_values(
        None, [*QUICK, *words], base=str(base), data=str(balls), output=str(tmp_path / "compared")
    )


def in_this_process(job: str, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(JOBS[job](json.loads(json.dumps(given)))))
    return found


def test_methods_and_objectives_in_one_table(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(course, "call", in_this_process)
    own: dict[str, Any] = {"lora": {"train": {"learning_rate": 0.01}}, "bitfitt+denoise": {}}
    with pytest.raises(UserError, match="did you mean `bitfit`"):
        asked(values(*SUBJECT), ["lora"], own)
    wanted = asked(values(*SUBJECT), ["lora", "full+denoise"], {"lora": own["lora"]}, seeds=1)
    found = compare(wanted, lambda line: None)

    folder = tmp_path / "compared"
    document = json.loads((folder / "compare.json").read_text())
    lora, full = document["rows"]
    for row in document["rows"]:
        assert "refused" not in row, row["refused"]
        assert row["quality"]["metric"] == "denoising_loss" and row["latency"] is None and row["forgetting"] is None
        assert row["quality"]["low"] <= row["quality"]["mean"] <= row["quality"]["high"]
        assert row["peak_memory_bytes"] > 1e8 and row["pictures_per_second"] > 0 and "facts" in row
    assert full["trainable"] > lora["trainable"] and full["stored_bytes"] > lora["stored_bytes"]
    names = ("lora", "full+denoise")
    kinds = {name: (folder / "runs" / name / "seed-0/recipe.yaml").read_text() for name in names}
    assert "kind: dreambooth" in kinds["lora"] and "kind: denoise" in kinds["full+denoise"]
    result = json.loads((folder / "runs/lora/seed-0/result.json").read_text())
    items = [json.loads(line) for line in (folder / "runs/lora/seed-0/items.jsonl").read_text().splitlines()]
    mean = sum(item["tuned"]["nll"] for item in items) / len(items)
    assert mean == pytest.approx(result["evaluation"]["after"]["denoising_loss"], rel=1e-5)
    assert found.details.seeds == [0] and found.details.rates["lora"].value == 0.01
    assert "held-out pictures" in found.recommendation and "rates were not tried" in found.recommendation
    print_table(found)
    head = capsys.readouterr().out.splitlines()[0]
    assert "Pictures/s" in head and "Forgetting" not in head
    page = (folder / "compare.html").read_text()
    assert "Held-out pictures" in page and "pictures a second" in page and "tunesmith generate" in page


def test_whatever_results_know_is_a_fact() -> None:
    document = {"evaluation": {"after": {"denoising_loss": 0.3}}, "fidelity": {"fidelity.likeness": {"tuned": 0.5}}}
    documents: dict[int, Any] = {0: document, 1: {**document, "fidelity": {"fidelity.likeness": {"tuned": 0.7}}}}
    runs = Runs({}, {}, {}, documents, {})
    assert runs.facts("denoising_loss") == {"fidelity.likeness": pytest.approx(0.6)}
    assert Runs({}, {}, {}, {**documents, 2: {"evaluation": None}}, {}).facts("denoising_loss") == {}


@pytest.mark.parametrize(
    ("words", "methods", "curve", "message"),
    [
        (SUBJECT, ["lora"], True, "--learning-curve"),
        (SUBJECT, ["lora+sft"], False, "METHOD or METHOD.OBJECTIVE"),
        (SUBJECT, ["lora+"], False, "METHOD or METHOD.OBJECTIVE"),
    ],
)
def test_what_is_of_texts_is_refused(
    words: list[str], methods: list[str], curve: bool, message: str, values: Values
) -> None:
    with pytest.raises(UserError, match=message):
        asked(values(*words), methods, {}, learning_curve=curve)


def test_an_objective_of_pictures_is_not_for_texts() -> None:
    with pytest.raises(UserError, match="is of pictures"):
        asked({"base": "smollm2-135m", "data": "rows.jsonl"}, ["lora+denoise"], {})


def test_too_few_pictures_to_hold_one_out(values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "call", in_this_process)
    with pytest.raises(UserError, match="pictures that are held out"):
        compare(asked(values(*SUBJECT, "data.split=0"), ["lora"], {}), lambda line: None)
    assert not (tmp_path / "compared").exists()
