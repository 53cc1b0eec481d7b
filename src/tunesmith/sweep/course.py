"""The course of a sweep: trials until there are enough or the time is up, then the test rows for the winner.

What is done is in the journal and in the folders of the trials: the same command goes on where it stopped.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial

from tunesmith.core.errors import Interrupted, RunFailed, UserError
from tunesmith.core.files import write_json, write_text
from tunesmith.report.numbers import duration
from tunesmith.sweep.asked import NAME as ASKED
from tunesmith.sweep.asked import Asked
from tunesmith.sweep.space import told
from tunesmith.sweep.study import NAME as JOURNAL
from tunesmith.sweep.study import Study
from tunesmith.sweep.workers import Ended, Workers

TRIALS = "trials"  # a folder
BEST, TESTED, SPENT, PARTS = "best.yaml", "tested.json", "spent.json", "parts.json"
LOG = "workers.log"
HOPELESS = 3  # trials that fail before any is finished: the next will fail too

Say = Callable[[str], None]


@dataclass
class Course:
    asked: Asked
    folder: Path
    say: Say
    workers: Workers = field(default_factory=Workers)
    notes: list[str] = field(default_factory=list)
    begin: float = field(default_factory=time.monotonic)
    late: bool = False
    known: float = 0.0  # seconds of earlier calls

    def __post_init__(self) -> None:
        self.metric = self.asked.metric
        if self.asked.workers > 1:
            self.workers.log = self.folder / LOG
        seed = self.asked.base.train.seed
        self.study = Study(self.folder / JOURNAL, self.asked.dimensions, seed)
        path = self.folder / SPENT
        self.known = float(json.loads(path.read_text())["seconds"]) if path.is_file() else 0.0

    def run(self) -> None:
        """Everything that is not done yet. Raises Interrupted, and UserError where no trial could be finished."""
        with self.workers.attended():
            self._look()
            self._try_all()
            self._refuse_nothing()
            write_text(self.folder / BEST, self._best_recipe())
            self._test()

    @property
    def spent(self) -> float:
        """Seconds of the trials, over all calls."""
        return self.known + time.monotonic() - self.begin

    def place(self, number: int) -> Path:
        return self.folder / TRIALS / f"{number:04d}"

    @property
    def best(self) -> FrozenTrial:
        found = self.study.best
        assert found is not None, "it was refused before"
        return found

    def forget(self) -> None:
        """Take away what a sweep leaves in which nothing could be tried: a mistake leaves nothing behind."""
        if not (self.folder / PARTS).is_file():
            for name in (ASKED, SPENT, JOURNAL, LOG):
                (self.folder / name).unlink(missing_ok=True)

    def _look(self) -> None:
        path = self.folder / PARTS
        if not path.is_file():
            recipe = self.asked.base.model_dump(mode="json")
            write_json(path, self._done("look", recipe=recipe))
        self.parts: dict[str, int] = json.loads(path.read_text())
        rows = self.parts["validation"]
        self.say(
            f"each trial is judged by its {self.metric} on {rows} validation rows; the test rows are not looked at"
        )

    def _done(self, job: str, **asked: Any) -> dict[str, Any]:
        try:
            return self.workers.do(job, **asked)
        except Interrupted:
            raise Interrupted(self._interrupted()) from None

    def _interrupted(self) -> str:
        return (
            f"stopped; {len(self.study.ended)} of {self.asked.trials} trials are done; give the same command to go on"
        )

    def _try_all(self) -> None:
        self.begin = time.monotonic()
        left = self.study.running  # by a call that was stopped
        while True:
            if self.workers.heard or self._time_is_up():
                self.workers.stop()
            elif self._room():
                self._start(left)
            for ended in self.workers.ended() if self.workers.running else ():
                self._note(ended)
                write_json(self.folder / SPENT, {"seconds": self.spent})
            if not self.workers.running and (self.workers.stopping or not self._room()):
                break
        if self.workers.heard:
            raise Interrupted(self._interrupted())
        self.workers.stopping = False

    def _room(self) -> bool:
        """Whether one more trial is to be begun."""
        under_way = len(self.workers.running)
        enough = len(self.study.ended) + under_way >= self.asked.trials
        return not (enough or under_way >= self.asked.workers or self.late or self._hopeless())

    def _hopeless(self) -> bool:
        return len(self.study.ended) >= HOPELESS and not self.study.finished

    def _time_is_up(self) -> bool:
        """Whether what is under way must end. Before that no trial is begun that would not be done in time."""
        if self.asked.time is None:
            return False
        times = [t.user_attrs.get("seconds", 0.0) for t in self.study.finished]
        if not self.late and self.spent + (median(times) if times else 0.0) > self.asked.time:
            self.late = True
            count = len(self.study.ended)
            self._add(f"{count} of {self.asked.trials} trials in the time of {duration(self.asked.time)}")
        return self.spent > self.asked.time

    def _add(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.say(sentence)

    def _start(self, left: list[FrozenTrial]) -> None:
        trial = left.pop(0) if left else self.study.propose()
        if trial is None:
            self.late = True
            self._add(f"every combination has been tried: {len(self.study.ended)} trials")
            return
        number = len(self.study.ended) + len(self.workers.running) + 1
        self.say(f"trial {number} of {self.asked.trials}: {told(trial.params)}")
        self.workers.start(
            trial.number,
            "trial",
            asked=self.asked.model_dump(mode="json"),
            trial=trial.number,
            folder=str(self.folder),
            output=str(self.place(trial.number)),
        )

    def _note(self, ended: Ended) -> None:
        """Put the end of a trial into the journal, and leave of its folder what is worth keeping."""
        if isinstance(ended.why, Interrupted):
            return  # it stays open, and goes on from its checkpoint
        trial, before = self.study.trial(ended.number), self.study.best
        seconds = float(trial.user_attrs.get("seconds", 0.0)) + ended.seconds
        found = ended.found or {"ending": "failed", "why": str(ended.why)}
        why = str(found.get("why", ""))
        self.study.end(ended.number, found["ending"], found.get("value"), why, seconds)
        shutil.rmtree(self.place(ended.number) / "checkpoints", ignore_errors=True)
        if found["ending"] != "finished":
            self.say(f"{told(trial.params)}: {found['ending']}: {why}")
            return
        best = self.best.number == ended.number
        self.say(f"{told(trial.params)}: {self.value(found['value'])}{', the best so far' if best else ''}")
        worse = before.number if best and before is not None else None if best else ended.number
        if worse is not None:
            self._without_weights(worse)

    def _without_weights(self, number: int) -> None:
        """Only the best keeps what it made: twenty whole models would fill a disk."""
        for name in ("adapter", "model"):
            shutil.rmtree(self.place(number) / name, ignore_errors=True)

    def value(self, kept: float) -> str:
        return f"validation {self.metric} {kept if self.metric == 'loss' else -kept:.4g}"

    def _refuse_nothing(self) -> None:
        """UserError when there is no winner, with the reason."""
        if self.study.finished:
            return
        failed = [t for t in self.study.ended if t.user_attrs.get("why")]
        if failed:
            raise UserError(f"no trial could be finished; the last one: {failed[-1].user_attrs['why']}")
        assert self.asked.time is not None, "without a limit every trial ends"
        raise UserError(
            f"--time: {duration(self.asked.time)} was not enough for one trial; give the same command with more --time "
            "to go on with it, or a shorter recipe (train.max_steps)"
        )

    def _best_recipe(self) -> str:
        best = self.best
        head = f"# The best of {len(self.study.ended)} trials: {self.value(best.value or 0.0)}, {told(best.params)}\n"
        return head + self.asked.recipe_of(best.params).dumped()

    def _test(self) -> None:
        """The test rows, for the winner alone."""
        path = self.folder / TESTED
        self.tested: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
        if not self.asked.recipe_of(self.best.params).evaluate.enabled or not self.parts["test"]:
            self._add("no test rows, or evaluate.enabled is false: the winner is not measured on rows of its own")
            return
        if any(one["trial"] == self.best.number for one in self.tested):
            return
        self.say("the winner on the test rows")
        try:
            found = self._done("test", run=str(self.place(self.best.number)))
        except (UserError, RunFailed) as error:
            self._add(f"the winner could not be measured on the test rows: {error}")
            return
        self.tested.append({"trial": self.best.number, **found})
        write_json(path, self.tested)
