"""What a run with `train.privacy` promises about each training row, and the key from which it draws.

The promise holds for what training leaves: the weights of every step. It does not hold for the diary of the run
(losses, lengths of gradients), nor for validation and test rows.
"""

import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.files import write_bytes
from tunesmith.core.keyed import Keyed
from tunesmith.core.order import steps_per_epoch
from tunesmith.data.prepare import Prepared
from tunesmith.train.accountant import epsilon, noise_for
from tunesmith.train.config import Train
from tunesmith.train.private_step import Noise

KEY = "privacy.key"
LITTLE = 10.0  # an epsilon that promises little


def promise(train: Train, prepared: Prepared) -> None:
    """Count what the run will give away, write it into the facts, and say it. Raises UserError where nothing holds."""
    if prepared.facts.get("cut_into_blocks"):
        raise UserError(
            "train.privacy: protects whole rows, and some are longer than a pass and would become several examples; "
            "cut them into rows yourself, or raise data.max_length"
        )
    found = counted(train, len(prepared.train))
    prepared.facts["privacy"] = found
    prepared.said.extend(_sentences(found, bool(prepared.validation)))


def counted(train: Train, rows: int) -> dict[str, Any]:
    """-> the guarantee and all that it follows from."""
    asked = train.privacy
    assert asked is not None
    delta = 0.1 / rows if asked.delta is None else asked.delta
    if delta >= 1 / rows:
        raise UserError(
            f"train.privacy.delta: {delta:g} allows to publish one of {rows} rows as it is; "
            f"give less than {1 / rows:.2g}, or leave it out"
        )
    share = min(1.0, train.batch_size / rows)
    steps = train.steps(steps_per_epoch(rows, train.batch_size))
    noise, given = _noise(asked.epsilon, asked.noise_multiplier, (share, steps, delta))
    return {
        "epsilon": given,
        "delta": delta,
        "noise_multiplier": noise,
        "clip": asked.clip,
        "sample_rate": share,
        "steps": steps,
        "rows": rows,
        "reproducible": asked.reproducible,
    }


@lru_cache(maxsize=8)
def _noise(wanted: float | None, noise: float | None, plan: tuple[float, int, float]) -> tuple[float, float | None]:
    """-> the noise, and the epsilon that it gives; None where there is no noise."""
    if wanted is not None:
        return noise_for(wanted, *plan)
    assert noise is not None
    return noise, epsilon(noise, *plan) if noise > 0 else None


def _sentences(found: Mapping[str, Any], validated: bool) -> list[str]:
    given, delta, rows = found["epsilon"], found["delta"], found["rows"]
    how = (
        f"{found['steps']} steps, each row drawn with chance {found['sample_rate']:.3g}, "
        f"its gradient clipped at {found['clip']:g}, noise {found['noise_multiplier']:.4g} times that"
    )
    if given is None:
        said = [f"privacy: NONE is promised, for there is no noise ({how})"]
    else:
        said = [f"privacy: epsilon {given:.3g} at delta {delta:.2g} for each of {rows} training rows ({how})"]
        if given > LITTLE:
            said.append(f"note: epsilon {given:.3g} promises little; larger batches, fewer steps or more rows help")
    if found["reproducible"]:
        said.append("note: the noise follows from train.seed: whoever knows the recipe can take it off again")
    if validated:
        said.append(
            "note: validation rows choose the weights that are kept; privacy covers the training rows alone, not these"
        )
    return said


def noise_of(train: Train, found: Mapping[str, Any], folder: Path | None) -> Noise:
    """-> the noise of a run. `folder` holds the key until training ends; None: nothing that is drawn is kept."""
    seeded = hashlib.sha256(f"tunesmith {train.seed}".encode()).digest()
    key = seeded if found["reproducible"] else _secret(folder)
    return Noise(found["clip"], found["noise_multiplier"], found["sample_rate"] * found["rows"], Keyed(key))


def _secret(folder: Path | None) -> bytes:
    if folder is None:
        return secrets.token_bytes(32)
    path = folder / KEY
    if not path.is_file():
        write_bytes(path, secrets.token_bytes(32))
    return path.read_bytes()


def forget_key(folder: Path) -> None:
    """The last step is made: nobody can draw the same noise again."""
    (folder / KEY).unlink(missing_ok=True)
