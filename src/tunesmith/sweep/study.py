"""The journal of a sweep: one file that all workers write, from which Optuna proposes, prunes and weighs.

Values are kept so that less is better, whatever the metric.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from tunesmith.core.files import PRIVATE
from tunesmith.sweep.space import Dimension, size

NAME = "journal.log"
STUDY = "sweep"
STARTING, COMPARED = 4, 3  # trials that end whole before any is pruned; that a median needs
RANDOM = 6  # trials that are drawn before any is proposed by what the others gave
WEIGHED = 6  # trials with which importance says something
GRID = 1000  # combinations up to which each is tried once at most
SAME = "same"  # marks a proposal that had been tried before

Ending = Literal["finished", "pruned", "failed"]
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
ENDINGS: dict[TrialState, Ending] = {state: name for name, state in STATES.items()}  # type: ignore[misc]


def distribution(one: Dimension) -> BaseDistribution:
    if one.choices:
        return CategoricalDistribution(one.choices)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


@dataclass
class Study:
    """The trials of a sweep, as the journal holds them."""

    path: Path
    space: Sequence[Dimension]
    seed: int

    @cached_property
    def storage(self) -> JournalStorage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if not self.path.exists():
            self.path.touch(mode=PRIVATE)
        return JournalStorage(JournalFileBackend(str(self.path)))

    @cached_property
    def _study(self) -> optuna.Study:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of optuna's experiments
            return optuna.create_study(
                study_name=STUDY,
                storage=self.storage,
                sampler=optuna.samplers.RandomSampler(seed=self.seed),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTING, n_min_trials=COMPARED),
                direction="minimize",
                load_if_exists=True,
            )

    @property
    def trials(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if SAME not in trial.user_attrs]

    def trial(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    @property
    def running(self) -> list[FrozenTrial]:
        """Those that were begun and have not ended."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]

    @property
    def ended(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state in ENDINGS]

    @property
    def finished(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]

    @property
    def best(self) -> FrozenTrial | None:
        return min(self.finished, key=lambda trial: (trial.value, trial.number), default=None)

    def propose(self) -> FrozenTrial | None:
        """-> a new trial; None when every combination has been tried. No combination is tried twice."""
        tried = [trial.params for trial in self.trials]
        # The draws of a sweep that goes on must not repeat those it began with.
        seed = self.seed + len(tried)
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM, constant_liar=True)
        if size(self.space) <= GRID:
            left = [values for values in self._combinations() if values not in tried]
            if not left:
                return None
            if len(tried) < RANDOM or len(left) <= RANDOM:
                self._study.enqueue_trial(Random(seed).choice(left))
                return self._ask()
            found = self._ask()
            if found.params in tried:
                self._drop(found)
                self._study.enqueue_trial(Random(seed).choice(left))
                return self._ask()
            return found
        return self._ask()

    def _ask(self) -> FrozenTrial:
        return self.trial(self._study.ask({one.key: distribution(one) for one in self.space}).number)

    def _drop(self, trial: FrozenTrial) -> None:
        """A proposal that had been tried is no trial of ours."""
        self.storage.set_trial_user_attr(trial._trial_id, SAME, True)
        self.end(trial.number, "failed")

    def _combinations(self) -> list[dict[str, Any]]:
        axes = [one.choices or tuple(range(int(one.low), int(one.high) + 1)) for one in self.space]
        return [dict(zip([one.key for one in self.space], values, strict=True)) for values in product(*axes)]

    def report(self, number: int, place: int, value: float) -> bool:
        """Note a validation. -> whether the trial is worse there than the median of the others."""
        self.storage.set_trial_intermediate_value(self.trial(number)._trial_id, place, value)
        return self._study.pruner.prune(self._study, self.trial(number))

    def end(self, number: int, ending: Ending, value: float | None = None, why: str = "", seconds: float = 0.0) -> None:
        trial = self.trial(number)
        self.storage.set_trial_user_attr(trial._trial_id, "why", why)
        self.storage.set_trial_user_attr(trial._trial_id, "seconds", seconds)
        self.storage.set_trial_state_values(trial._trial_id, STATES[ending], None if value is None else [value])

    def importance(self) -> dict[str, float] | None:
        """-> the share of each key in what makes a trial good (PED-ANOVA, https://arxiv.org/abs/2304.10255).

        None where there are too few trials to say.
        """
        values = {trial.value for trial in self.finished}
        if len(self.space) < 2 or len(self.finished) < WEIGHED or len(values) < 2:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Mapping[str, float] = optuna.importance.get_param_importances(self._study)
        return {key: float(found.get(key, 0.0)) for key in sorted(found, key=lambda k: -found[k])}
