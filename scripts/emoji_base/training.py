"""The loop that all stages share: resumable to the bit, for every random number is a function of seed and step.

A state is a folder `step-NNNNNNN` of safetensors and a manifest with the plan and the curve; the last one stays. The
rate is constant after the warm-up, so that a stage can be prolonged, and falls to a tenth over the last of its steps.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.files import commit_folder, remove_folder, remove_unfinished, verify_folder

from .muon import Muon

Losses = dict[str, Tensor]
_ENDS = ("conv_in", "conv_out", "quant_conv", "embedding", "body.0.", "head")
_POINT = 25  # steps whose mean is one point of the curve


@dataclass(frozen=True, slots=True)
class Plan:
    steps: int
    batch: int
    rate: float
    turn: float = 0.0  # the rate of Muon, for the matrices between a network's ends; 0: AdamW for all
    warmup: int = 200
    cool: float = 0.2  # the part of the steps, at the end, in which the rate falls
    decay: float = 0.01
    average: float = 0.999
    seed: int = 0
    save_minutes: float = 5.0

    def share_at(self, step: int) -> float:
        """-> the part of the rates at which `step` learns."""
        left = (self.steps - step) / max(1.0, self.cool * self.steps)
        return min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.1, left))


class Stage:
    """One network (or several in a ModuleDict) under training, with its running average."""

    def __init__(
        self, name: str, network: nn.Module, plan: Plan, folder: Path, slow: Mapping[str, float] | None = None
    ) -> None:
        """`slow`: beginnings of names -> the part of the rate that these weights learn at."""
        self.name, self.network, self.plan, self.folder = name, network, plan, folder / name
        self.step, self.curve, self.seconds = 0, [], 0.0
        self.weights = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self.weights.items()}
        self.optimizers = self._optimizers(slow or {})
        self._resume()

    def _optimizers(self, slow: Mapping[str, float]) -> list[torch.optim.Optimizer]:
        plan = self.plan
        turned = {n: w for n, w in self.weights.items() if plan.turn and _is_between(n, w) and _part(n, slow) == 1}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for key, weight in self.weights.items():
            if key not in turned:
                kind = plan.decay if weight.dim() > 1 and "embedding" not in key else 0.0, _part(key, slow)
                groups.setdefault(kind, []).append(weight)
        each = [{"params": weights, "weight_decay": decay, "whole": plan.rate * part}
                for (decay, part), weights in groups.items()]  # fmt: skip
        found: list[torch.optim.Optimizer] = [torch.optim.AdamW(each, lr=plan.rate, betas=(0.9, 0.99), fused=True)]
        if turned:
            found.append(Muon(list(turned.values()), plan.turn, plan.decay))
            found[-1].param_groups[0]["whole"] = plan.turn
        return found

    def run(self, loss: Callable[[int], Losses], seconds: float, say: Callable[[str], None] = print) -> bool:
        """Train until the plan's end or for so many seconds. -> whether the plan's end was reached.

        `loss(step)` gives numbers by name, of which `loss` is what falls.
        """
        begin = saved = time.monotonic()
        while self.step < self.plan.steps and time.monotonic() - begin < seconds:
            self._point(loss)
            self._tell(begin, say)
            if time.monotonic() - saved > 60 * self.plan.save_minutes:
                self._save(time.monotonic() - saved)
                saved = time.monotonic()
        self._save(time.monotonic() - saved)
        return self.step >= self.plan.steps

    def _point(self, loss: Callable[[int], Losses]) -> None:
        """The steps up to the next point of the curve. States are kept at points alone, so no point is cut in two."""
        taken = [self._update(loss(self.step)) for _ in range(min(_POINT, self.plan.steps - self.step))]
        means = {key: round(sum(one[key] for one in taken) / len(taken), 6) for key in taken[0]}
        self.curve.append({"step": self.step, **means})

    def _update(self, losses: Losses) -> dict[str, float]:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["whole"] * self.plan.share_at(self.step)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), 1 - keep)
        return {key: float(value.detach()) for key, value in losses.items()}

    def _tell(self, begin: float, say: Callable[[str], None]) -> None:
        shown = "  ".join(f"{key} {value:.4g}" for key, value in self.curve[-1].items() if key != "step")
        say(f"{self.name} {self.step}/{self.plan.steps}  {shown}  {time.monotonic() - begin:.0f} s")

    def _save(self, seconds: float) -> None:
        """Keep the state, and then drop the one before it. A state that is there already is not written again."""
        target = self.folder / f"step-{self.step:07d}"
        if target.exists():
            return
        self.seconds += seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"stage": self.name, "step": self.step, "seconds": round(self.seconds), "plan": asdict(self.plan),
                 "curve": self.curve}  # fmt: skip
        with commit_folder(target, about) as aside:
            save_file({n: p.detach().contiguous() for n, p in self.weights.items()}, aside / "weights.safetensors")
            save_file(self.average, aside / "average.safetensors")
            save_file(self._moments(), aside / "moments.safetensors")
        for old in states(self.folder)[:-1]:
            remove_folder(old)

    def _state(self, weight: nn.Parameter) -> dict[str, Tensor]:
        """What the optimizer that learns `weight` remembers of it."""
        owner = next(o for o in self.optimizers if any(weight is w for g in o.param_groups for w in g["params"]))
        return owner.state[weight]

    def _moments(self) -> dict[str, Tensor]:
        kept = {}
        for name, weight in self.weights.items():
            for key, value in self._state(weight).items():
                kept[f"{name}/{key}"] = value
        return kept

    def _resume(self) -> None:
        if not states(self.folder):
            return
        remove_unfinished(self.folder)
        last = states(self.folder)[-1]
        about = verify_folder(last)
        self._refuse_other_plan(last, about["plan"])
        self.step, self.curve, self.seconds = about["step"], about["curve"], about["seconds"]
        with torch.no_grad():
            for name, value in load_file(last / "weights.safetensors").items():
                self.weights[name].copy_(value)
            for name, value in load_file(last / "average.safetensors").items():
                self.average[name].copy_(value)
        for key, value in load_file(last / "moments.safetensors").items():
            name, _, kind = key.rpartition("/")
            self._state(self.weights[name])[kind] = value

    def _refuse_other_plan(self, place: Path, before: dict[str, float]) -> None:
        """Only the end may move, for no random number and no rate before it depends on it."""
        now = asdict(self.plan)
        other = [key for key in now if key not in ("steps", "save_minutes") and now[key] != before[key]]
        if other:
            raise UserError(
                f"{place}: begun with {other[0]} {before[other[0]]}; go on with that, or delete {self.folder}"
            )


def _is_between(name: str, weight: nn.Parameter) -> bool:
    """Whether a weight is a matrix inside a network: its first and last layers and its tables are not."""
    return weight.dim() > 1 and not any(word in name for word in _ENDS)


def _part(name: str, slow: Mapping[str, float]) -> float:
    return next((part for begin, part in slow.items() if name.startswith(begin)), 1.0)


def states(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-???????"))


def best(folder: Path, network: nn.Module) -> nn.Module:
    """`network` with the running average that the stage in `folder` last kept, for use and not for training."""
    if not states(folder):
        raise UserError(f"{folder}: nothing trained there yet; run --stage {folder.name} first")
    kept = load_file(states(folder)[-1] / "average.safetensors")
    unknown = network.load_state_dict(kept, strict=False).unexpected_keys
    assert not unknown, f"{folder} holds nothing for this network: {unknown[:3]}"
    return network.eval().requires_grad_(False)


def generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
