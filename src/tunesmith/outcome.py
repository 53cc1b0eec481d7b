"""How a run ended, written down whatever happens: `result.json` is there after success, failure and interruption."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith.core.errors import Interrupted, RunFailed, UserError
from tunesmith.environment import environment
from tunesmith.evaluate.before_after import Evaluation
from tunesmith.opening import Opened, begun, forget
from tunesmith.proof import Check
from tunesmith.recipe import Recipe
from tunesmith.report.document import (
    NAME,
    Artifact,
    Chosen,
    Evaluated,
    Origin,
    Parameters,
    Privacy,
    RunResult,
    Training,
)
from tunesmith.train.metrics import peak_memory
from tunesmith.train.progress import Fitted

GO_ON = "give the same command again to go on"


def finished(folder: Path) -> RunResult | None:
    """The result of a run that ended well."""
    if not (folder / NAME).is_file():
        return None
    try:
        result = RunResult.read(folder)
    except ValueError:
        return None  # damaged: the run's last stage is done again and writes it anew
    return result if result.status == "ok" else None


@contextmanager
def recorded(folder: Path, recipe: Recipe) -> Iterator[None]:
    """Write down a failure or an interruption, and raise it on. SIGTERM is an interruption like Ctrl-C."""
    try:
        with _terminated_like_interrupted():
            yield
    except KeyboardInterrupt:
        _write(folder, recipe, "interrupted", GO_ON)
        raise Interrupted(f"stopped; {GO_ON}") from None
    except Interrupted as stop:
        _write(folder, recipe, "interrupted", str(stop))
        raise
    except UserError as error:
        if not begun(folder):  # a mistake in the recipe or the data leaves nothing behind
            forget(folder)
        else:
            _write(folder, recipe, "failed", str(error))
        raise
    except RunFailed as error:
        _write(folder, recipe, "failed", str(error))
        raise
    except Exception as error:
        _write(folder, recipe, "failed", f"{type(error).__name__}: {error}")
        raise


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Outside of the training loop, which has its own way to stop at a step, SIGTERM raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write(folder: Path, recipe: Recipe, status: str, message: str) -> None:
    result = RunResult(
        status="interrupted" if status == "interrupted" else "failed",
        message=message,
        base=recipe.base,
        method=recipe.method.kind,
        objective=recipe.objective.kind,
    )
    try:
        result.write(folder)
    except (UserError, RunFailed):  # the disk is full: the error that is under way says more
        return


@dataclass(frozen=True, slots=True)
class Success:
    """What a run that ended well has to tell."""

    opened: Opened
    parameters: tuple[int, int]  # trained, all
    fitted: Fitted
    artifact: Artifact
    evaluation: Evaluation | None
    checks: dict[str, Check]

    def document(self, notes: list[str]) -> RunResult:
        opened, found = self.opened, self.evaluation.document() if self.evaluation else None
        base = opened.base
        return RunResult(
            status="ok",
            base=base.name,
            origin=Origin(fingerprint=base.fingerprint, source=base.source, licence=base.licence, note=base.note),
            method=opened.recipe.method.kind,
            objective=opened.recipe.objective.kind,
            parameters=Parameters(trainable=self.parameters[0], total=self.parameters[1]),
            train=_training(self.fitted, peak_memory(opened.device), _writes(opened)),
            privacy=Privacy(**known) if (known := opened.prepared.facts.get("privacy")) else None,
            evaluation=Evaluated.model_validate({k: found[k] for k in Evaluated.model_fields}) if found else None,
            artifact=self.artifact,
            proof={name: check.passed for name, check in self.checks.items()},
            chosen={key: Chosen(**choice) for key, choice in opened.choices.items()},
            environment=environment(opened.device, opened.probe.precision),
            notes=notes,
        )


def _writes(opened: Opened) -> bool:
    """Whether the model learns from answers of its own."""
    return opened.prepared.eats == "prompts" or bool(getattr(opened.recipe.objective, "sampled", 0))


def _training(fitted: Fitted, peak: int, writes: bool) -> Training:
    return Training(
        steps=fitted.steps,
        examples=fitted.examples,
        tokens=fitted.tokens,
        trained_tokens=fitted.trained_tokens,
        seconds=fitted.seconds,
        rollout_seconds=fitted.stream_seconds if writes else None,
        tokens_per_second=fitted.tokens / fitted.seconds if fitted.seconds else 0.0,
        peak_memory_bytes=peak,
    )
