"""What is said of a claim follows from the numbers."""

import json
from typing import Any

import pytest

from benchmarks import claims
from tests.report.test_comparison import comparison, row
from tunesmith.report.comparison import Against, Comparison, Latency


def against(mean: float, reach: float, *, more_is_better: bool = True) -> Against:
    better = "better" if (mean > 0) == more_is_better else "worse"
    kind = better if abs(mean) > reach else "no detectable difference (could have seen 0.1)"
    return Against(mean=mean, low=mean - reach, high=mean + reach, verdict=kind)


def compared(gain: Against, forgot: Against, **lora: Any) -> Comparison:
    rows = [
        row("full", 0.75, trainable=134_000_000, stored_bytes=269_000_000, seconds_per_step=4.8),
        row("lora", 0.74, **lora),
        row("qlora", 0.73),
        row("prompt", 0.66, trainable=9_216, stored_bytes=19_000, latency=Latency(off=0.04, on=0.05, merged=None)),
    ]
    made = comparison(
        quality_between={"lora": {"full": gain}, "qlora": {"lora": gain}},
        forgetting_between={"lora": {"full": forgot}, "prompt": {"full": against(-1.0, 0.2, more_is_better=False)}},
    )
    return made.model_copy(update={"rows": rows})


EVEN, LESS = against(-0.01, 0.03), against(-0.5, 0.2, more_is_better=False)


def found(made: Comparison) -> dict[str, claims.Finding]:
    return {one.claim.split()[0]: one for one in claims.of_comparison(made)}


def test_what_is_counted() -> None:
    said = found(compared(EVEN, LESS))
    assert said["10"].found == claims.SHOWN and "lora 27, qlora 27, prompt 14,540" in said["10"].numbers
    assert said["files"].found == claims.PARTLY, "a small base has no gigabytes"
    assert "lora 19.6 MB (1/14)" in said["files"].numbers and "prompt 19.0 kB (1/14,158)" in said["files"].numbers
    few = found(compared(EVEN, LESS, trainable=50_000_000, stored_bytes=100_000_000))
    assert few["10"].found == claims.PARTLY and few["files"].found == claims.NOT


@pytest.mark.parametrize("merged, verdict", [(0.041, claims.SHOWN), (0.047, claims.NOT)])
def test_a_merged_lora_is_timed_against_the_base(merged: float, verdict: str) -> None:
    said = found(compared(EVEN, LESS, latency=Latency(off=0.04, on=0.0466, merged=merged)))["a"]
    assert said.found == verdict and f"{merged / 0.04:.2f} times the base's" in said.numbers


@pytest.mark.parametrize(
    "gain, forgot, near, less",
    [
        (EVEN, LESS, claims.SHOWN, claims.SHOWN),
        (against(-0.01, 0.08), against(-0.5, 0.8, more_is_better=False), claims.NOT, claims.NOT),
        (against(-0.1, 0.04), LESS, claims.AGAINST, claims.NOT),  # it forgets less, and learned less
        (against(0.1, 0.04), against(0.5, 0.2, more_is_better=False), claims.SHOWN, claims.AGAINST),
    ],
)
def test_a_difference_is_shown_only_when_its_interval_says_so(
    gain: Against, forgot: Against, near: str, less: str
) -> None:
    said = found(compared(gain, forgot))
    assert (said["LoRA"].claim, said["LoRA"].found) == ("LoRA forgets less than full at equal gain", less)
    assert [one.found for one in claims.of_comparison(compared(gain, forgot))][3] == near
    assert "prompt" in said["LoRA"].numbers.split("forget: ")[1]


def test_qlora_needs_both_the_quality_and_the_memory() -> None:
    measured = {"kinds": {"bf16": {"base_bytes": 269e6}, "nf4": {"base_bytes": 111e6}}}
    said = claims.qlora_is_lora(compared(EVEN, LESS), measured)
    assert said.found == claims.PARTLY and "111 MB of 269 MB, 0.41 of it" in said.numbers
    measured["kinds"]["nf4"]["base_bytes"] = 90e6
    assert claims.qlora_is_lora(compared(EVEN, LESS), measured).found == claims.SHOWN
    assert claims.qlora_is_lora(compared(against(-0.1, 0.04), LESS), measured).found == claims.PARTLY


@pytest.mark.parametrize(
    "right, verdict", [((0.4, 0.99), claims.SHOWN), ((0.96, 0.99), claims.PARTLY), ((0.99, 0.4), claims.NOT)]
)
def test_a_rank_is_judged_by_the_best_of_its_rates(right: tuple[float, float], verdict: str) -> None:
    ranks = {"1": {"1e-3": [3.0, 0.1], "1e-2": [1 - right[0], right[0]]}, "16": {"1e-3": [1 - right[1], right[1]]}}
    assert claims.higher_rank_holds_more({"ranks": ranks, "digits": 384, "steps": 60}).found == verdict


def test_a_method_that_is_missing_takes_its_claims_with_it() -> None:
    lone = compared(EVEN, LESS).model_copy(update={"rows": [row("lora", 0.7)]})
    assert [one.claim for one in claims.of_comparison(lone)] == ["a merged LoRA adds no latency"]
    assert claims.of_comparison(lone.model_copy(update={"rows": []})) == []


def test_the_table_is_markdown_and_what_is_kept_is_of_its_form() -> None:
    text = claims.table(claims.of_comparison(compared(EVEN, LESS)))
    lines = text.splitlines()
    assert len(lines) == 2 + 5 and all(line.count("|") == 4 for line in lines)
    kept = json.loads((claims.HERE / "results" / "qlora.json").read_text())
    assert claims.qlora_is_lora(compared(EVEN, LESS), kept).numbers.count("0.41") == 1
