"""Writes tests/objectives/trl.json: what TRL says each loss is, on real batches of its own trainers over tiny models.

python scripts/trl_losses.py      (needs the extra `bench`: TRL 1.16)

Kept are the log-probabilities of every label under policy and reference, and TRL's loss. ORPO, SimPO and the
divergences of GKD, which TRL has among its experiments, are asked by the function that holds their formula.
"""

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.gkd import GKDTrainer
from trl.experimental.orpo import ORPOTrainer

from tests.families import tiny, tiny_tokenizer

OUT = Path(__file__).parents[1] / "tests" / "objectives" / "trl.json"
ROWS = [
    {"prompt": "Is it raining?", "chosen": " Yes, it is.", "rejected": " I would rather not say."},
    {"prompt": "Who sings worst?", "chosen": " The miller.", "rejected": " A cat"},
    {"prompt": "The bread is", "chosen": " the best bread they had ever eaten", "rejected": " grey"},
]
DPO = [
    {"loss_type": ["sigmoid"], "beta": 0.1},
    {"loss_type": ["sigmoid"], "beta": 0.5},
    {"loss_type": ["hinge"], "beta": 0.1},
    {"loss_type": ["ipo"], "beta": 0.1},
    {"loss_type": ["robust"], "beta": 0.3, "label_smoothing": 0.2},
]
COMMON: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": [], "per_device_train_batch_size": 8}


def main() -> None:
    policy, reference = (_network(seed) for seed in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        cases = [_dpo(policy, reference, settings, folder) for settings in DPO] + [_kto(policy, reference, folder)]
    pairs = cases[0]["policy"]
    means = torch.tensor([sum(row) / len(row) for row in pairs]).chunk(2)
    cases += [_simpo(pairs, *means, beta, gamma) for beta, gamma in ((2.0, 1.0), (2.5, 0.3))]
    cases.append(_orpo(pairs, *means))
    OUT.parent.mkdir(exist_ok=True)
    taught = [_gkd(beta, GKDTrainer.generalized_jsd_loss) for beta in (0.0, 0.3, 0.8, 1.0)]
    OUT.write_text(json.dumps({"trl": _version(), "cases": cases, "divergences": taught}, indent=1) + "\n")
    print(f"{OUT}: {len(cases)} cases, {len(taught)} divergences")


def _version() -> str:
    from importlib.metadata import version

    return version("trl")


def _network(seed: int) -> Any:
    torch.manual_seed(seed)
    network = tiny("llama").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return network


def _dpo(policy: Any, reference: Any, settings: dict[str, Any], folder: str) -> dict[str, Any]:
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(output_dir=folder, **COMMON, **settings),
        train_dataset=Dataset.from_list(ROWS),
        processing_class=tiny_tokenizer(),
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model.eval(), inputs)
    asked = (inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])
    return {
        "kind": settings["loss_type"][0],
        "beta": settings["beta"],
        "label_smoothing": settings.get("label_smoothing", 0.0),
        "policy": _logprobs(policy, *asked),  # the chosen answers, then the rejected ones
        "reference": _logprobs(reference, *asked),
        "loss": float(loss),
    }


def _kto(policy: Any, reference: Any, folder: str) -> dict[str, Any]:
    rows = [
        {"prompt": r["prompt"], "completion": r[k], "label": k == "chosen"}
        for r in ROWS
        for k in ("chosen", "rejected")
    ]
    trainer = KTOTrainer(
        model=policy,
        ref_model=reference,
        args=KTOConfig(
            output_dir=folder,
            **COMMON,
            desirable_weight=1.0,
            undesirable_weight=1.5,
            train_sampling_strategy="sequential",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model.eval(), inputs)
    asked = (inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])
    strange = (inputs["KL_input_ids"], inputs["KL_attention_mask"], inputs["KL_completion_mask"])
    now, before = (torch.tensor([sum(row) for row in _logprobs(m, *strange)]) for m in (policy, reference))
    return {
        "kind": "kto",
        "beta": trainer.beta,
        "unwanted_weight": 1.5,
        "wanted": [bool(x) for x in inputs["label"]],
        "drift": max(0.0, float((now - before).mean())),
        "policy": _logprobs(policy, *asked),
        "reference": _logprobs(reference, *asked),
        "loss": float(loss),
    }


def _simpo(pairs: Any, chosen: torch.Tensor, rejected: torch.Tensor, beta: float, gamma: float) -> dict[str, Any]:
    asked = SimpleNamespace(
        alpha=0.0,
        loss_type="simpo",
        beta=beta,
        simpo_gamma=gamma,
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )
    losses, _, _ = CPOTrainer.cpo_loss(asked, chosen, rejected)
    return {"kind": "simpo", "beta": beta, "gamma": gamma, "policy": pairs, "loss": float(losses.mean())}


def _orpo(pairs: Any, chosen: torch.Tensor, rejected: torch.Tensor) -> dict[str, Any]:
    """The loss of the paper: the answer's own loss, and TRL's odds ratio."""
    asked = SimpleNamespace(beta=0.2, accelerator=SimpleNamespace(device="cpu"))
    weighted = ORPOTrainer.odds_ratio_loss(asked, chosen, rejected)[0]
    return {"kind": "orpo", "beta": 0.2, "policy": pairs, "loss": float((-chosen - weighted).mean())}


def _gkd(beta: float, loss: Any) -> dict[str, Any]:
    """The mean over the tokens of two rows."""
    draw = torch.Generator().manual_seed(0)
    student, teacher = (2 * torch.randn(2, 3, 7, generator=draw) for _ in range(2))
    labels = torch.zeros(2, 3, dtype=torch.long)
    return {
        "divergence": {0.0: "forward", 1.0: "reverse"}.get(beta, "jsd"),
        "mix": beta,
        "student": student.flatten(0, 1).tolist(),
        "teacher": teacher.flatten(0, 1).tolist(),
        "loss": float(loss(student, teacher, labels, beta=beta)),
    }


@torch.no_grad()
def _logprobs(network: Any, tokens: torch.Tensor, present: torch.Tensor, learned: torch.Tensor) -> list[list[float]]:
    """-> for each row the log-probabilities of its answer's tokens."""
    labels = tokens.masked_fill(learned == 0, -100)
    asked = {"input_ids": tokens, "attention_mask": present, "labels": labels, "use_cache": False}
    found = network(**asked, fused_lm_head=True).log_probs  # TRL's own, which its trainers put into the model
    return [row[mask.bool()].tolist() for row, mask in zip(found, learned[:, 1:], strict=True)]


if __name__ == "__main__":
    main()
