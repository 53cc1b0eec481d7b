"""The course of a comparison: the base, the rates, the time, the runs in turn, what they wrote, the table.

Each finished job leaves a file or a run folder, and is not done again: the same command goes on where it stopped.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from tunesmith.compare.asked import NAME as ASKED
from tunesmith.compare.asked import SCHEDULE, Asked
from tunesmith.compare.budget import CURVE, PROBING, SCORING, Cost, Schedule, fitted
from tunesmith.compare.process import call
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import make_folder, write_json
from tunesmith.outcome import finished
from tunesmith.report.numbers import duration, metric

BASE, PROBES, RUNS, CURVES, LATENCY = "base", "probes", "runs", "curve", "latency"  # folders
FACTS, SPENT = "facts.json", "spent.json"
TOKENS, ROUNDS = 16, 3  # written for the latency, each way

Say = Callable[[str], None]


@dataclass
class Course:
    """What is known so far."""

    asked: Asked
    folder: Path
    say: Say
    base: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    latency: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    """Methods of which a run failed: none of their later ones is begun."""
    missing: dict[str, str] = field(default_factory=dict)
    """Methods of which something beside the runs is missing."""
    schedule: Schedule = field(default_factory=lambda: Schedule(1, 1, False))

    def run(self) -> None:
        """Everything that is not done yet. Raises Interrupted, and UserError for what concerns all methods."""
        self._measure_base()
        for name in self.asked.methods:
            self._try_rates(name)
        self._plan()
        self._train_all()
        for share in CURVE if self.schedule.curve else ():
            for name in self.left:
                self._train(name, self.curve(name, share), 0, share)
        for name in () if self.asked.paints else self.left:  # a painted picture takes as long with any of them
            self._time(name)

    def _train_all(self) -> None:
        """Seed by seed, the methods in turn: what slows the machine for a while slows all of them."""
        for number in range(self.schedule.seeds):
            if number and self._late(number):
                return
            for name in self.left:
                self._train(name, self.place(name, number), number)

    def forget(self) -> None:
        """Take away what a comparison leaves that could not even measure the base: a mistake leaves nothing behind."""
        if not (self.folder / BASE / FACTS).is_file():
            shutil.rmtree(self.folder / BASE, ignore_errors=True)
            for name in (SPENT, ASKED):
                (self.folder / name).unlink(missing_ok=True)

    @property
    def left(self) -> list[str]:
        """The methods that can go on."""
        return [name for name in self.asked.methods if name not in self.refused and name not in self.lost]

    @property
    def spent(self) -> float:
        """Seconds of all jobs so far, over all calls."""
        path = self.folder / SPENT
        return sum(json.loads(path.read_text(encoding="utf-8")).values()) if path.is_file() else 0.0

    def place(self, name: str, number: int) -> Path:
        return self.folder / RUNS / name / f"seed-{self.asked.seed(number)}"

    def curve(self, name: str, share: float) -> Path:
        return self.folder / CURVES / name / f"share-{100 * share:.0f}"

    def cost(self, name: str) -> Cost:
        probe = self.probes[name]
        trainable = probe["parameters"][0]
        return Cost(probe["opening"], probe["step"], probe["validation"], self.base["scoring"], trainable)

    def _kept(self, path: Path, job: str, **asked: Any) -> dict[str, Any]:
        """What a job found, from its file when it has been done."""
        if not path.is_file():
            make_folder(path.parent)
            write_json(path, self._called(str(path.relative_to(self.folder)), job, **asked))
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _called(self, name: str, job: str, **asked: Any) -> dict[str, Any]:
        """Do a job, and note how long it took, however it ended."""
        begin = time.monotonic()
        try:
            return call(job, **asked)
        finally:
            path = self.folder / SPENT
            times = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            times[name] = times.get(name, 0.0) + time.monotonic() - begin
            write_json(path, times)

    def _share(self, part: float, among: int) -> float | None:
        return None if self.asked.budget is None else part * self.asked.budget / among

    def _measure_base(self) -> None:
        self.say("the base: what it does without training")
        recipe = self.asked.shared(**self._answers())
        runs = 1 + len(self.asked.methods) * self.asked.seeds
        place = self.folder / BASE
        make_folder(place)
        self.base = self._kept(
            place / FACTS,
            "base",
            recipe=recipe.model_dump(mode="json"),
            folder=str(place),
            seconds=self._share(SCORING, runs),
        )
        if self.base["items"] < self.base["of"]:
            self.say(f"each method is measured on {self.base['items']} of {self.base['of']} test rows")

    def _answers(self) -> dict[str, Any]:
        """Answers are not looked at here: none is written that is not scored, and no picture that is not asked for."""
        given = self.asked.recipe.get("evaluate") or {}
        if self.asked.paints:
            return {"enabled": True, "pictures": given.get("pictures", 0)}
        return {"enabled": True, "answers": given.get("score_answers") or 0}

    def _recipe(self, name: str, output: Path, *, number: int, steps: int, share: float = 1.0) -> dict[str, Any]:
        every = max(1, ceil(steps / self.schedule.validations))
        train = {
            "seed": self.asked.seed(number),
            "precision": self.base["precision"],
            "max_steps": steps,
            "epochs": None,
            "patience": None,
            "evaluate_every": every,
            "checkpoint_every": every,
        }
        own = self.asked.own.get(name, {}).get("train", {})
        if own.get("learning_rate") in (None, "auto"):
            tried = None if self.asked.paints else "auto"
            train["learning_rate"] = self.probes[name]["choice"]["value"] if name in self.probes else tried
        evaluate = self._answers() | {"items": self.base["items"]}
        data = {"share": share} if share < 1 else {}
        return self.asked.recipe_of(name, output, train=train, evaluate=evaluate, data=data).model_dump(mode="json")

    def _try_rates(self, name: str) -> None:
        self.say(f"{name}: {'timing some steps' if self.asked.paints else 'trying learning rates'}")
        known = next((probe["size"] for probe in self.probes.values() if "size" in probe), None)
        with _Noted(self.refused, name, "", self.say):
            recipe = self._recipe(name, self.folder / PROBES, number=0, steps=self.base["steps"])
            self.probes[name] = found = self._kept(
                self.folder / PROBES / f"{name}.json",
                "probe",
                recipe=recipe,
                size=known,
                seconds=self._share(PROBING, len(self.asked.methods)),
            )
            self.say(f"{name}: learning rate {found['choice']['value']:g}, {found['choice']['reason']}")

    def _plan(self) -> None:
        """Decide once how much is run; a comparison that goes on keeps to it."""
        path = self.folder / SCHEDULE
        if not self.left:
            return
        if not path.is_file():
            wanted = Schedule(self.asked.seeds, self.base["steps"], self.asked.learning_curve)
            costs = {name: self.cost(name) for name in self.left}
            if (budget := self.asked.budget) is not None:
                wanted = fitted(wanted, costs, budget - self.spent, budget)
            write_json(path, asdict(wanted))
            self.say(f"about {duration(wanted.seconds(costs))} to go")
        kept = json.loads(path.read_text(encoding="utf-8"))
        self.schedule = Schedule(**kept | {"said": tuple(kept["said"])})
        for sentence in self.schedule.said:
            self.say(sentence)

    def _late(self, number: int) -> bool:
        """Whether the time is up before this seed; if so, seeds end here for good."""
        budget = self.asked.budget
        if budget is None or all(finished(self.place(name, number)) for name in self.left):
            return False
        costs = {name: self.cost(name) for name in self.left}
        done = sum(self._took(name, number - 1) for name in self.left)
        if self.spent + max(done, self.schedule.round(costs)) <= budget:
            return False
        sentence = f"{number} of {self.schedule.seeds} seeds: the runs took longer than estimated"
        kept = replace(self.schedule, seeds=number, said=(*self.schedule.said, sentence))
        write_json(self.folder / SCHEDULE, asdict(kept))
        self.schedule = kept
        self.say(sentence)
        return True

    def _took(self, name: str, number: int) -> float:
        times = json.loads((self.folder / SPENT).read_text(encoding="utf-8"))
        return float(times.get(str(self.place(name, number).relative_to(self.folder)), 0.0))

    def _train(self, name: str, place: Path, number: int, share: float = 1.0) -> None:
        title = f"{name}, seed {self.asked.seed(number)}" + (f", {share:.0%} of the rows" if share < 1 else "")
        if finished(place):
            return
        self.say(f"{self._ended + 1} of {self._all}: {title}")
        with _Noted(self.lost if share == 1 else self.missing, name, f"{title}: ", self.say):
            recipe = self._recipe(name, place, number=number, steps=self.schedule.steps, share=share)
            self._called(str(place.relative_to(self.folder)), "train", recipe=recipe, base=str(self.folder / BASE))
            shutil.rmtree(place / "checkpoints", ignore_errors=True)  # a finished run needs none, and they are large
            self.say(f"{title}: {self._told(place)}")

    def _time(self, name: str) -> None:
        path = self.folder / LATENCY / f"{name}.json"
        if not path.is_file():
            self.say(f"{name}: time for each written token")
        with _Noted(self.missing, name, "latency: ", self.say):
            run = str(self.place(name, 0))
            self.latency[name] = self._kept(path, "latency", run=run, tokens=TOKENS, rounds=ROUNDS)

    @property
    def _all(self) -> int:
        """Runs of this comparison."""
        each = self.schedule.seeds + (len(CURVE) if self.schedule.curve else 0)
        return each * len([name for name in self.asked.methods if name not in self.refused])

    @property
    def _ended(self) -> int:
        return len([path for path in self.folder.glob("*/*/*/") if path.parts[-3] in (RUNS, CURVES) and finished(path)])

    def _told(self, place: Path) -> str:
        """The result of a run in a few words."""
        result, how = finished(place), metric(self.base["metric"])
        assert result is not None and result.evaluation is not None and result.train is not None
        value = how.value(result.evaluation.after[self.base["metric"]])
        return f"{how.label.lower()} {value}, steps took {duration(result.train.seconds)}"


@dataclass
class _Noted:
    """A method that fails takes no other with it: why is noted and said."""

    notes: dict[str, str]
    name: str
    where: str
    say: Say

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, UserError | RunFailed):
            return False
        self.notes[self.name] = self.where + str(error)
        self.say(f"{self.name} is left out: {self.notes[self.name]}")
        return True
