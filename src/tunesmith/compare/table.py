"""From the folders of a comparison to its table: the rows, how each is worth against base and full, the choice."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np

from tunesmith.compare.budget import CURVE
from tunesmith.compare.course import BASE, Course
from tunesmith.compare.recommendation import Candidate, Circumstances, Recommendation, recommend
from tunesmith.evaluate.items import Measured, read_items
from tunesmith.evaluate.metrics import METRICS
from tunesmith.evaluate.over_seeds import difference, level
from tunesmith.evaluate.statistics import Difference
from tunesmith.evaluate.tradeoff import best_tradeoffs
from tunesmith.outcome import finished
from tunesmith.report.comparison import Against, Comparison, Details, Latency, Row, Share, Value
from tunesmith.report.document import NAME as RESULT
from tunesmith.report.document import Chosen, RunResult
from tunesmith.report.folder import RunFiles

PERPLEXITY, RIGHT = "general_perplexity", "general_accuracy"
PAINTED = (
    "the pictures that judge have also chosen the best weights of each run.",
    "learning rates were not tried: each method has its own, or the one that its recipe gives.",
)
"""Doubts about every comparison on pictures."""
EDGE = "that was tried"  # in the reason of a rate that is the first or the last of those tried


@dataclass(frozen=True)
class Runs:
    """The finished runs of one method, by the number of their seed."""

    results: dict[int, RunResult]
    items: dict[int, Measured]
    base: dict[int, Measured]
    """The base on the same items: where objectives differ, so may what it was told of them."""
    documents: dict[int, dict[str, Any]]
    """`result.json`, as it is."""
    timing: dict[int, list[dict[str, Any]]]

    @classmethod
    def of(cls, course: Course, name: str) -> "Runs":
        found = {number: course.place(name, number) for number in range(course.schedule.seeds)}
        results = {number: result for number, place in found.items() if (result := finished(place))}
        return cls(
            results,
            {number: read_items(found[number], "tuned") for number in results},
            {number: read_items(found[number], "base") for number in results} if course.asked.paints else {},
            {number: json.loads((found[number] / RESULT).read_text(encoding="utf-8")) for number in results},
            {number: RunFiles.read(found[number]).timing for number in results},
        )

    def rows(self, metric: str, numbers: list[int] | None = None) -> np.ndarray:
        """-> (K, N, C)."""
        return np.stack([METRICS[metric].rows(self.items[n]) for n in (self.items if numbers is None else numbers)])

    def steps(self, key: str) -> list[float]:
        """-> for each run the median over its steps."""
        return [median(line[key] for line in lines if key in line) for lines in self.timing.values()]

    @property
    def memory(self) -> int:
        peaks = [max(line.get("peak_memory_bytes", 0) for line in lines) for lines in self.timing.values()]
        return int(median(peaks))

    @property
    def pictures_per_second(self) -> float:
        trained = [result.train for result in self.results.values() if result.train]
        return median(one.examples / one.seconds for one in trained)

    def facts(self, quality: str) -> dict[str, float]:
        """-> what else is said of the tuned model, by every run, whatever it is called."""
        every = [_facts(document) for document in self.documents.values()]
        known = [key for key in every[0] if key != quality and all(key in one for one in every)]
        return {key: median(one[key] for one in every) for key in known}

    @property
    def first(self) -> RunResult:
        return next(iter(self.results.values()))


class Table:
    """Everything that is read from the folders, once."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self.metric: str = course.base["metric"]
        self.base = read_items(course.folder / BASE, "base")
        every = {name: Runs.of(course, name) for name in course.asked.methods}
        self.runs = {name: runs for name, runs in every.items() if runs.results}

    def comparison(self) -> Comparison:
        rows = [self._row(name) for name in self.course.asked.methods]
        return Comparison(rows=rows, details=self._details(rows))

    def _row(self, name: str) -> Row:
        if name not in self.runs:
            why = self.course.refused.get(name) or self.course.lost.get(name) or "it was not run"
            return Row(method=name, refused=why)
        runs, general = self.runs[name], bool(self.base.general)
        parameters, artifact = runs.first.parameters, runs.first.artifact
        assert parameters is not None and artifact is not None, "a run that ended well has both"
        latency = self.course.latency.get(name)
        return Row(
            method=name,
            trainable=parameters.trainable,
            total=parameters.total,
            peak_memory_bytes=runs.memory,
            seconds_per_step=median(runs.steps("seconds")),
            tokens_per_second=median(runs.steps("tokens_per_second")),
            stored_bytes=artifact.bytes,
            quality=_level(self.metric, runs.rows(self.metric)),
            forgetting=_value(PERPLEXITY, self._against_base(name, PERPLEXITY)) if general else None,
            latency=Latency(**{side: latency[side] for side in Latency.model_fields}) if latency else None,
            data_needed=self._curve(name) if self.course.schedule.curve else None,
            pictures_per_second=runs.pictures_per_second if self.course.asked.paints else None,
            facts=runs.facts(self.metric) if self.course.asked.paints else None,
        )

    def _curve(self, name: str) -> list[Share]:
        rows, found = self.course.base["rows"], []
        for share in CURVE:
            place = self.course.curve(name, share)
            items = read_items(place, "tuned") if finished(place) else None
            quality = _level(self.metric, METRICS[self.metric].rows(items)[None]) if items else None
            found.append(Share(share=share, rows=max(1, round(share * rows)), quality=quality))
        return [*found, Share(share=1.0, rows=rows, quality=_level(self.metric, self.runs[name].rows(self.metric)))]

    def _against_base(self, name: str, metric: str) -> Difference:
        own = self.runs[name].base
        base = np.stack([METRICS[metric].rows(one) for one in own.values() or [self.base]])
        return _difference(metric, base, self.runs[name].rows(metric))

    def _between(self, one: str, other: str, metric: str) -> Difference:
        """`one` less `other`, on the seeds that both have."""
        numbers = [n for n in self.runs[one].items if n in self.runs[other].items]
        return _difference(metric, *(self.runs[name].rows(metric, numbers) for name in (other, one)))

    @cached_property
    def quality_between(self) -> dict[str, dict[str, Against]]:
        return self._all_between(self.metric, self.runs)

    def _all_between(self, metric: str, names: Iterable[str]) -> dict[str, dict[str, Against]]:
        names = list(names)
        return {a: {b: _against(self._between(a, b, metric)) for b in names if b != a} for a in names}

    @cached_property
    def best(self) -> str | None:
        """The method of the highest quality among those that are better than the base, else among all."""
        if not self.runs:
            return None
        sign = 1 if METRICS[self.metric].higher_is_better else -1
        gained = [n for n in self.runs if self._against_base(n, self.metric).verdict == "better"]
        return max(gained or self.runs, key=lambda n: sign * _level(self.metric, self.runs[n].rows(self.metric)).mean)

    def _details(self, rows: list[Row]) -> Details:
        course, known = self.course, [row for row in rows if row.method in self.runs]
        base = _level(self.metric, METRICS[self.metric].rows(self.base)[None])
        general = [row.method for row in known if row.forgetting is not None]
        choice = self._recommendation(known, base)
        recipe = course.asked.shared()
        return Details(
            base=recipe.base,
            data=", ".join(recipe.data.sources),
            seeds=[course.asked.seed(number) for number in range(course.schedule.seeds)],
            steps=course.schedule.steps,
            examples=max((runs.first.train.examples for runs in self.runs.values() if runs.first.train), default=0),
            items=course.base["items"],
            base_quality=base,
            base_general=_level(PERPLEXITY, METRICS[PERPLEXITY].rows(self.base)[None]).mean if general else None,
            against_base={name: _against(self._against_base(name, self.metric)) for name in self.runs},
            quality_between=self.quality_between,
            forgetting_between=self._all_between(PERPLEXITY, general),
            forgetting_verdict={name: self._against_base(name, PERPLEXITY).verdict for name in general},
            general_accuracy={name: _against(self._against_base(name, RIGHT)) for name in general},
            rates={name: Chosen(**probe["choice"]) for name, probe in course.probes.items()},
            cannot_merge={n: found["cannot_merge"] for n, found in course.latency.items() if found["cannot_merge"]},
            best_cost=self._tradeoffs(known, "seconds_per_step"),
            best_forgetting=self._tradeoffs([row for row in known if row.forgetting], "forgetting"),
            recommended=choice.method,
            sentence=choice.sentence,
            doubts=list(choice.doubts),
            said=self._said(),
            seconds=course.spent,
            environment=course.base["environment"],
        )

    def _tradeoffs(self, rows: list[Row], cost: str) -> list[str]:
        sign = 1 if METRICS[self.metric].higher_is_better else -1
        points = []
        for row in rows:
            paid = row.forgetting.mean if cost == "forgetting" and row.forgetting else row.seconds_per_step
            assert paid is not None and row.quality is not None
            points.append((paid, sign * row.quality.mean))
        return [row.method for row, best in zip(rows, best_tradeoffs(points), strict=True) if best]

    def _recommendation(self, rows: list[Row], base: Value) -> Recommendation:
        course = self.course
        left_out = {name: why for notes in (course.refused, course.lost) for name, why in notes.items()}
        return recommend(
            [self._candidate(row) for row in rows],
            Circumstances(
                base=base,
                seeds=course.schedule.seeds,
                items=course.base["items"],
                steps=course.schedule.steps,
                wanted_steps=course.base["steps"],
                left_out={name: why for name, why in left_out.items() if name not in self.runs},
                rows="held-out pictures" if course.asked.paints else "test rows",
                more=PAINTED if course.asked.paints else (),
                at_the_edge=[name for name, probe in course.probes.items() if EDGE in probe["choice"]["reason"]],
            ),
        )

    def _candidate(self, row: Row) -> Candidate:
        steps = self.runs[row.method].steps("seconds")
        assert row.quality and row.seconds_per_step and row.peak_memory_bytes and row.stored_bytes
        assert self.best is not None, "there is a row"
        return Candidate(
            method=row.method,
            quality=row.quality,
            seconds=row.seconds_per_step,
            memory=row.peak_memory_bytes,
            stored=row.stored_bytes,
            against_base=_against(self._against_base(row.method, self.metric)),
            against_best=self.quality_between[row.method].get(self.best),
            forgetting=row.forgetting,
            forgot=row.forgetting is not None and self._against_base(row.method, PERPLEXITY).verdict == "worse",
            spread=max(steps) / min(steps),
        )

    def _said(self) -> list[str]:
        course, said = self.course, list(self.course.schedule.said)
        if course.base["items"] < course.base["of"]:
            said.append(f"{course.base['items']} of {course.base['of']} test rows, the first by number")
        partly = {**{n: why for n, why in course.lost.items() if n in self.runs}, **course.missing}
        return said + [f"{name}: {why}" for name, why in partly.items()]


def _facts(document: Mapping[str, Any]) -> dict[str, float]:
    """-> the numbers of `evaluation` and of `fidelity`, where a run has that."""
    evaluated = (document.get("evaluation") or {}).get("after") or {}
    judged = {key: one["tuned"] for key, one in (document.get("fidelity") or {}).items()}
    return {**evaluated, **judged}


def _level(metric: str, rows: np.ndarray) -> Value:
    found = level(METRICS[metric].measure, rows, share=METRICS[metric].share)
    return Value(metric=metric, mean=found.mean, low=found.low, high=found.high)


def _difference(metric: str, before: np.ndarray, after: np.ndarray) -> Difference:
    how = METRICS[metric]
    return difference(how.measure, before, after, higher_is_better=how.higher_is_better)


def _value(metric: str, found: Difference) -> Value:
    return Value(metric=metric, mean=found.mean, low=min(found.low, found.mean), high=max(found.high, found.mean))


def _against(found: Difference) -> Against:
    return Against(mean=found.mean, low=found.low, high=found.high, verdict=found.verdict)
