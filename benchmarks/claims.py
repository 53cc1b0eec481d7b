"""What the field says about these methods, held against what was measured here: a table in markdown.

python benchmarks/claims.py [--compare docs/results/drug-reviews] [--out benchmarks/results/claims.md]

Reads a comparison (`compare.json` and `details.json` of its folder), and `results/qlora.json` and `results/rank.json`.
A claim is "shown" only when its interval says so; "not shown" does not mean that it is wrong.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunesmith.report.comparison import FULL, Against, Comparison, Row
from tunesmith.report.comparison_cells import seconds
from tunesmith.report.numbers import count, metric, share, size

HERE = Path(__file__).parent
COMPARED = HERE.parent / "docs" / "results" / "drug-reviews"
SHOWN, PARTLY, NOT, AGAINST = "shown", "shown in part", "not shown", "the contrary"
NEAR = 0.05  # of the accuracy: five points; losses of less than this we call near
STILL = 0.05  # a time that differs by less is the same
THIRD = 0.4  # of the dense weights' memory: a third, roundly
KNOWN = 0.95  # of the digits: learned by heart


@dataclass(frozen=True)
class Finding:
    claim: str
    found: str
    numbers: str


def of_comparison(found: Comparison) -> list[Finding]:
    """-> a finding for each claim that the comparison has the methods for."""
    rows = {row.method: row for row in found.rows if row.refused is None}
    asked: list[tuple[set[str], Callable[[], Finding]]] = [
        ({FULL}, lambda: fewer_trained(rows)),
        ({FULL}, lambda: smaller_files(rows)),
        ({"lora"}, lambda: merged_is_free(rows)),
        ({"lora", FULL}, lambda: near_full(found, rows)),
        ({"lora", FULL}, lambda: forgets_less(found)),
    ]
    return [find() for needed, find in asked if needed <= rows.keys()]


def fewer_trained(rows: Mapping[str, Row]) -> Finding:
    full = rows[FULL].trainable or 0
    times = {name: full / row.trainable for name, row in rows.items() if name != FULL and row.trainable}
    found = SHOWN if times and min(times.values()) >= 10 else PARTLY if any(t >= 10 for t in times.values()) else NOT
    said = ", ".join(f"{name} {count(t)}" for name, t in sorted(times.items(), key=lambda one: one[1]))
    return Finding("10 to 10,000 times fewer trained parameters", found, f"times fewer than full: {said}")


def smaller_files(rows: Mapping[str, Row]) -> Finding:
    full = rows[FULL].stored_bytes or 0
    files = {name: row.stored_bytes for name, row in rows.items() if name != FULL and row.stored_bytes}
    small = bool(files) and max(files.values()) * 10 <= full
    found = SHOWN if small and full >= 1e9 else PARTLY if small else NOT
    said = ", ".join(f"{name} {size(b)} (1/{count(full / b)})" for name, b in sorted(files.items(), key=_second))
    note = "" if full >= 1e9 else "; a base this small has no gigabytes to save, the ratio is what carries over"
    return Finding("files of megabytes, not gigabytes", found, f"full {size(full)}; {said}{note}")


def merged_is_free(rows: Mapping[str, Row]) -> Finding:
    """The base alone was timed beside each method: how far those times are apart is the noise."""
    times = {name: row.latency for name, row in rows.items() if row.latency and name not in (FULL, "qlora")}
    merged = {name: one.merged / one.off for name, one in times.items() if one.merged is not None}
    noise = max(one.off for one in times.values()) / min(one.off for one in times.values()) - 1
    lora = times["lora"]
    apart = abs(merged["lora"] - 1)
    found = SHOWN if apart <= STILL else NOT
    others = ", ".join(f"{name} {ratio:.2f}" for name, ratio in merged.items() if name != "lora")
    said = (
        f"lora, a token: {seconds(lora.off)} base, {seconds(lora.on)} beside it, {seconds(lora.merged or 0)} merged, "
        f"{merged['lora']:.2f} times the base's" + (f" (merged {others})" if others else "")
    )
    return Finding("a merged LoRA adds no latency", found, f"{said}; the base's own time varied by {share(noise)}")


def near_full(found: Comparison, rows: Mapping[str, Row]) -> Finding:
    paired = found.details.against_full("lora")
    assert paired is not None
    how = metric(found.details.base_quality.metric)
    near = how.percent and paired.low >= -NEAR
    verdict = SHOWN if near else AGAINST if _kind(paired) == "worse" else NOT
    lora, full = rows["lora"], rows[FULL]
    cost = ", ".join(
        f"{share((getattr(lora, key) or 0) / (getattr(full, key) or 1))} of its {name}"
        for key, name in (("seconds_per_step", "time a step"), ("peak_memory_bytes", "memory"))
    )
    said = f"{how.label.lower()} less full's {_said(paired, found.details.base_quality.metric)}; {cost}"
    return Finding("LoRA is near full fine-tuning at a fraction of the cost", verdict, said)


def forgets_less(found: Comparison) -> Finding:
    details = found.details
    gain, forgot = details.against_full("lora"), details.forgetting_against_full("lora")
    assert gain is not None and forgot is not None
    kinds = (_kind(forgot), _kind(gain))
    verdict = SHOWN if kinds[0] == "better" and kinds[1] != "worse" else AGAINST if kinds[0] == "worse" else NOT
    less = [name for name in details.forgetting_between if _kind(details.forgetting_against_full(name)) == "better"]
    said = (
        f"rise of general perplexity less full's {_said(forgot, 'general_perplexity')}, "
        f"{metric(details.base_quality.metric).label.lower()} less full's {_said(gain, details.base_quality.metric)}; "
        f"detectably less than full forget: {', '.join(less) or 'none'}"
    )
    return Finding("LoRA forgets less than full at equal gain", verdict, said)


def qlora_is_lora(found: Comparison, measured: Mapping[str, Any]) -> Finding:
    """`measured`: the content of `results/qlora.json`."""
    rows = {row.method: row for row in found.rows}
    lora, qlora = rows["lora"].quality, rows["qlora"].quality
    assert lora is not None and qlora is not None
    paired = found.details.quality_between["qlora"]["lora"]
    bases = {kind: measured["kinds"][kind]["base_bytes"] for kind in ("bf16", "nf4")}
    ratio = bases["nf4"] / bases["bf16"]
    equal, small = lora.low <= qlora.mean <= lora.high and _kind(paired) != "worse", ratio <= THIRD
    how = metric(lora.metric)
    said = (
        f"{how.label.lower()} {how.value(qlora.mean)}, LoRA's {how.value(lora.mean)} ({how.value(lora.low)} to "
        f"{how.value(lora.high)}), paired {_said(paired, lora.metric)}; weights {size(bases['nf4'])} of "
        f"{size(bases['bf16'])}, {ratio:.2f} of it: embeddings stay dense here, the linear layers alone take 0.26"
    )
    verdict = SHOWN if equal and small else PARTLY if equal or small else NOT
    return Finding("QLoRA equals LoRA within its interval at a third of the weights' memory", verdict, said)


def higher_rank_holds_more(measured: Mapping[str, Any]) -> Finding:
    """`measured`: the content of `results/rank.json`."""
    best = {int(rank): min(map(tuple, tried.values())) for rank, tried in measured["ranks"].items()}
    ranks = sorted(best)
    losses, right = [best[rank][0] for rank in ranks], [best[rank][1] for rank in ranks]
    falls = all(a > b for a, b in pairwise(losses))
    verdict = SHOWN if falls and right[0] < KNOWN <= max(right) else PARTLY if losses[-1] < losses[0] else NOT
    each = ", ".join(f"rank {rank} {share(best[rank][1])} ({best[rank][0]:.2f} nats)" for rank in ranks)
    said = (
        f"of {count(measured['digits'])} random digits, {count(measured['steps'])} steps through one layer make known: "
        f"{each}; the best of each rank's rates, in as many steps; longer training was not tried"
    )
    return Finding("a higher rank is more expressive", verdict, said)


def table(findings: Iterable[Finding]) -> str:
    lines = ["| claim | here | numbers |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {one.claim} | **{one.found}** | {one.numbers} |" for one in findings)]) + "\n"


def _said(found: Against, name: str) -> str:
    how = metric(name)
    return f"{how.change(found.mean)} ({how.change(found.low, unit=False)} to {how.change(found.high, unit=False)})"


def _kind(found: Against | None) -> str:
    return "" if found is None else found.verdict.partition(" (")[0]


def _second(pair: tuple[str, int]) -> int:
    return -pair[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", type=Path, default=COMPARED, help="a comparison's folder, or its compare.json")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "claims.md")
    asked = parser.parse_args()
    folder = asked.compare if asked.compare.is_dir() else asked.compare.parent
    found = Comparison.read(folder)
    measured = {name: json.loads((HERE / "results" / f"{name}.json").read_text()) for name in ("qlora", "rank")}
    findings = of_comparison(found)
    if {"lora", "qlora"} <= found.details.quality_between.keys():
        findings.append(qlora_is_lora(found, measured["qlora"]))
    findings.append(higher_rank_holds_more(measured["rank"]))
    details = found.details
    about = (
        f"{Path(details.base).name} on {details.data}: {count(details.steps)} steps, {len(details.seeds)} seeds, "
        f"{count(details.items)} test rows. Intervals hold 95 %, over rows and seeds, paired."
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(f"# Claims of the field\n\n{about}\n\n{table(findings)}", encoding="utf-8")
    print(table(findings), end="")


if __name__ == "__main__":
    main()
