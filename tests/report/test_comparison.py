"""The document, the page and the table of a comparison, from numbers as a real one leaves them."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from tunesmith.core.errors import UserError
from tunesmith.report.comparison import Against, Comparison, Details, Latency, Row, Share, Value
from tunesmith.report.comparison_page import page, write_page
from tunesmith.report.comparison_terminal import print_table
from tunesmith.report.document import Chosen, Tried

BETTER = Against(mean=0.1, low=0.05, high=0.15, verdict="better")
WORSE = Against(mean=-0.1, low=-0.15, high=-0.05, verdict="worse")
EQUAL = Against(mean=-0.01, low=-0.04, high=0.02, verdict="no detectable difference (could have seen 0.04)")


def accuracy(mean: float) -> Value:
    return Value(metric="accuracy", mean=mean, low=mean - 0.04, high=mean + 0.04)


def row(method: str, quality: float, **changed: Any) -> Row:
    values: dict[str, Any] = {
        "trainable": 4_884_480,
        "total": 139_399_488,
        "peak_memory_bytes": 1_460_000_000,
        "seconds_per_step": 2.41,
        "tokens_per_second": 477.0,
        "stored_bytes": 19_582_144,
        "quality": accuracy(quality),
        "forgetting": Value(metric="general_perplexity", mean=0.22, low=-0.05, high=0.49),
        "latency": Latency(off=0.0401, on=0.0466, merged=0.0402),
    }
    return Row(method=method, **(values | changed))


def comparison(**changed: Any) -> Comparison:
    rows = [
        row("lora", 0.741),
        row("full", 0.752, trainable=134_515_008, stored_bytes=269_060_552, seconds_per_step=4.9),
        row("ia3", 0.688, trainable=60_000, latency=Latency(off=0.04, on=0.042, merged=None)),
        Row(method="prefix", refused="prefix: this model's <attention> keeps no keys"),
    ]
    tried = [
        Tried(rate=0.0, loss=2.4),
        Tried(rate=6e-5, loss=1.2),
        Tried(rate=2e-4, loss=0.8),
        Tried(rate=2e-3, loss=None),
    ]
    details: dict[str, Any] = {
        "base": "smollm2-135m",
        "data": "drug-reviews",
        "seeds": [0, 1, 2],
        "steps": 67,
        "examples": 534,
        "items": 379,
        "base_quality": accuracy(0.646),
        "base_general": 34.66,
        "against_base": {"lora": BETTER, "full": BETTER, "ia3": EQUAL},
        "quality_between": {
            "lora": {"full": EQUAL, "ia3": BETTER},
            "full": {"lora": EQUAL, "ia3": BETTER},
            "ia3": {"full": EQUAL, "lora": WORSE},
        },
        "forgetting_between": {"lora": {"full": WORSE}},
        "forgetting_verdict": {"lora": "no detectable difference (x)", "full": "worse", "ia3": "better"},
        "general_accuracy": dict.fromkeys(("lora", "full", "ia3"), EQUAL),
        "rates": {
            "lora": Chosen(value=2e-4, reason="the lowest", tried=tried),
            "ia3": Chosen(value=3e-3, reason="given"),
        },
        "cannot_merge": {"ia3": "its layers scale what they read"},
        "best_cost": ["lora", "full"],
        "best_forgetting": ["lora"],
        "recommended": "lora",
        "sentence": "Take lora: its accuracy of 74.1 % is good.",
        "doubts": ["full may be better by up to 4.0 points; that was not excluded."],
        "said": ["to fit 20 min 0 s: 67 of 134 steps a run; the same for every method"],
        "seconds": 3724.0,
        "environment": {"device": "a processor", "memory_bytes": 8_000_000_000},
    }
    return Comparison(rows=rows, details=Details(**(details | changed)))


def test_the_document_has_the_keys_that_were_promised(tmp_path: Path) -> None:
    found = comparison()
    found.write(tmp_path)
    document = json.loads((tmp_path / "compare.json").read_text())
    assert set(document) == {"rows", "recommendation"}
    keys = [
        "method",
        "trainable",
        "total",
        "peak_memory_bytes",
        "seconds_per_step",
        "tokens_per_second",
        "stored_bytes",
    ]
    keys += ["quality", "forgetting", "latency"]
    assert [list(one) for one in document["rows"][:3]] == [keys] * 3
    assert list(document["rows"][3]) == [*keys, "refused"]
    assert list(document["rows"][0]["quality"]) == ["metric", "mean", "low", "high"]
    assert document["rows"][2]["latency"] == {"off": 0.04, "on": 0.042, "merged": None}
    assert (
        document["recommendation"].startswith("Take lora") and "Doubt: full may be better" in document["recommendation"]
    )
    assert Comparison.read(tmp_path) == found


def test_an_interval_that_does_not_hold_its_mean_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValidationError):
        Value(metric="accuracy", mean=0.5, low=0.6, high=0.7)


def test_the_page_says_all_of_it_and_loads_nothing(tmp_path: Path) -> None:
    text = write_page(tmp_path, comparison()).read_text()
    assert not re.search(r"<(script|link|img|iframe)", text) and "url(" not in text
    words = re.sub(r"<[^>]+>", " ", text).replace("\u00a0", " ")
    for said in (
        "Take lora: its accuracy of 74.1 % is good.", "Full may be better by up to 4.0 points", "recommended",
        "better than the base: +10.0 points", "like full", "4,884,480 trained", "3.5 % of all",
        "cannot be merged", "merged 40 ms", "&lt;attention&gt;", "67 of 134 steps", "not a number", "Environment",
        "there are 3 pairs", "more than full: \u22120.100", "0.0002, chosen",
    ):  # fmt: skip
        assert said in words, said
    assert text.count('<span class="worse">') == 1 and text.count('<span class="same">') == 3
    assert text.count('<svg class="trade"') == 2 and text.count('class="best-dot"') == 3


@pytest.mark.parametrize("damage", ["missing", "damaged", "old"])
def test_a_folder_that_cannot_be_read_says_how_to_get_it_again(tmp_path: Path, damage: str) -> None:
    comparison().write(tmp_path)
    details = tmp_path / "details.json"
    if damage == "missing":
        details.unlink()
    elif damage == "damaged":
        details.write_bytes(details.read_bytes()[:100])
    else:
        details.write_text('{"base": "x", "gone": 1}')
    with pytest.raises(UserError, match="compare` writes both again"):
        Comparison.read(tmp_path)


def test_a_learning_curve_and_what_was_not_measured(tmp_path: Path) -> None:
    curve = [Share(share=0.1, rows=53, quality=accuracy(0.66)), Share(share=0.3, rows=160, quality=None)]
    found = comparison(
        base_general=None, forgetting_verdict={}, general_accuracy={}, recommended=None, doubts=[], said=[]
    )
    lone = found.model_copy(update={"rows": [row("lora", 0.7, forgetting=None, latency=None, data_needed=curve)]})
    words = re.sub(r"<[^>]+>", " ", page(lone, tmp_path))
    assert "Data needed" in words and "53 rows" in words and "failed" in words
    assert "not measured" in words and "not timed" in words and "<li>" not in page(lone, tmp_path)


def test_a_terminal_gets_one_line_for_each_method() -> None:
    plain = io.StringIO()
    print_table(comparison(), Console(file=plain, width=200))
    head, *lines = plain.getvalue().splitlines()
    assert len(lines) == 4 and head.split()[:3] == ["Method", "Trained", "Memory"]
    assert re.search(r"lora +3\.5 % +1\.5 GB +2\.41 s +477 +19\.6 MB +74\.1 % +70\.1 % to 78\.1 %", lines[0])
    assert "47 ms / 40 ms / 40 ms" in lines[0] and "/ -" in lines[2] and lines[3].startswith("prefix: ")
    drawn = io.StringIO()
    print_table(comparison(), Console(file=drawn, width=200, force_terminal=True))
    assert "Accuracy" in drawn.getvalue() and "74.1 %" in drawn.getvalue()
