"""A run folder as a real run leaves it, to draw reports from."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

LABELS = ["negative", "mixed", "positive"]

PROMPT = (
    "Review of a medicine, rated by the patient.\n\nI have been on this for six weeks. The first days were hard: "
    "headaches, and I could not sleep. Since then it has been steady, and my mood is back to where it was two years "
    "ago. I would still ask about the side effects before starting.\n\nRating:"
)


def realistic(folder: Path) -> Path:
    """Write every file that a report reads. -> the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in documents().items():
        (folder / name).write_text(json.dumps(value))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(), sort_keys=False))
    write_lines(folder)
    return folder


def recipe() -> dict[str, Any]:
    return {
        "base": "smollm2-135m",
        "data": {"train": "drug-reviews", "template": "Review: {text}\n\nRating:", "split": [0.8, 0.1, 0.1]},
        "method": {"kind": "lora", "rank": 16, "alpha": 32.0, "targets": "all-linear"},
        "objective": {"kind": "sft"},
        "train": {"epochs": 1.0, "batch_size": 8, "learning_rate": None, "seed": 0, "precision": "auto"},
        "output": "runs/drug-reviews",
    }


def documents() -> dict[str, Any]:
    evaluation = _evaluation()
    kept = ("before", "after", "difference", "verdict", "n")
    return {
        "result.json": {
            "status": "ok",
            "base": "smollm2-135m",
            "method": "lora",
            "objective": "sft",
            "parameters": {"trainable": 4_884_480, "total": 139_399_488},
            "train": {
                "steps": 75,
                "examples": 600,
                "tokens": 88_912,
                "trained_tokens": 1_187,
                "seconds": 203.4,
                "tokens_per_second": 437.1,
                "peak_memory_bytes": 2_140_000_000,
            },
            "evaluation": {key: evaluation[key] for key in kept},
            "artifact": {
                "path": "adapter/adapter_model.safetensors",
                "bytes": 19_582_144,
                "sha256": "4be0" * 16,
                "base_bytes": 269_060_552,
                "mergeable": True,
            },
            "proof": {
                "frozen_unchanged": True,
                "trained_moved": True,
                "output_changed": True,
                "file_equals_memory": True,
            },
            "chosen": {
                "train.learning_rate": {
                    "value": 2e-4,
                    "reason": "about ten times the rate of full fine-tuning suits LoRA at any rank",
                },
                "train.precision": {
                    "value": "float32",
                    "reason": "bfloat16 was 2.3 times slower on this processor in a probe of 0.4 s",
                },
            },
            "environment": {
                "device": "AMD EPYC 7B13",
                "cores": 2,
                "threads": 2,
                "memory_bytes": 8_204_124_160,
                "precision": "float32",
                "system": "Linux x86_64",
                "python": "3.12.4",
                "versions": {"tunesmith": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
            },
            "notes": [
                "drug-reviews: 979 rows of labelled text",
                "3 rows repeat another one, 5 more are near-duplicates; they stay in the same part",
            ],
        },
        "evaluation.json": evaluation,
        "examples.json": _examples(),
        "data.json": _data(),
    }


def _evaluation() -> dict[str, Any]:
    same = "no detectable difference (could have seen 0.41)"
    return {
        "before": {
            "loss": 2.413, "perplexity": 11.17, "accuracy": 0.4512, "macro_f1": 0.3241,
            "general_loss": 3.0591, "general_perplexity": 21.31,
        },
        "after": {
            "loss": 0.6187, "perplexity": 1.8565, "accuracy": 0.7414, "macro_f1": 0.4793,
            "general_loss": 3.0661, "general_perplexity": 21.46,
        },
        "difference": {
            "loss": {"mean": -1.7943, "low": -1.9412, "high": -1.6514, "p": 0.0001},
            "perplexity": {"mean": -9.3135, "low": -10.92, "high": -7.94, "p": 0.0001},
            "accuracy": {"mean": 0.2902, "low": 0.2322, "high": 0.3483, "p": 3.1e-19},
            "macro_f1": {"mean": 0.1552, "low": 0.1014, "high": 0.2105, "p": 0.0001},
            "general_loss": {"mean": 0.0070, "low": -0.0031, "high": 0.0168, "p": 0.171},
            "general_perplexity": {"mean": 0.15, "low": -0.07, "high": 0.36, "p": 0.168},
        },
        "verdict": {
            "loss": "better", "perplexity": "better", "accuracy": "better", "macro_f1": "better",
            "general_loss": "no detectable difference (could have seen 0.014)", "general_perplexity": same,
        },
        "n": 379,
        "majority": 0.6491,
        "confusion": {
            "labels": LABELS,
            "before": [[38, 21, 29], [14, 9, 22], [61, 61, 124]],
            "after": [[64, 2, 22], [17, 3, 25], [27, 5, 214]],
        },
    }  # fmt: skip


def _examples() -> list[dict[str, Any]]:
    other = "Review of a medicine, rated by the patient.\n\nNothing changed in three months.\n\nRating:"
    return [
        {"row": 12, "prompt": PROMPT, "reference": "positive", "base": "3 out of 5 stars.", "tuned": "positive"},
        {"row": 31, "prompt": other, "reference": "negative", "base": "positive", "tuned": "negative"},
        {"row": 47, "prompt": PROMPT[:140], "reference": "mixed", "base": "Review of a", "tuned": "positive"},
    ]  # fmt: skip


def _data() -> dict[str, Any]:
    def part(rows: int, tokens: int, labels: list[int]) -> dict[str, Any]:
        counts = dict(zip(LABELS, labels, strict=True))
        return {"rows": rows, "examples": rows, "tokens": tokens, "trained_tokens": 2 * rows, "labels": counts}

    return {
        "format": "labelled",
        "labels": LABELS,
        "parts": {
            "train": part(540, 80_020, [130, 67, 343]),
            "validation": part(60, 8_892, [14, 8, 38]),
            "test": part(379, 56_170, [88, 45, 246]),
        },
        "mask_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "files": {"/home/ada/data/train.csv": "ab" * 32, "/home/ada/data/test.csv": "cd" * 32},
        "rows_read": 979,
        "duplicates": {"exact": 3, "near": 5},
        "overlap": {"test": 0},
        "dropped": {"too long": 4},
        "truncated": 0,
        "max_length": 512,
        "longest": {"tokens": 498, "place": "train.csv row 77"},
    }


def write_lines(folder: Path, steps: int = 75) -> None:
    noise = np.random.default_rng(0)
    metrics, timing = [], []
    for step in range(1, steps + 1):
        loss = 0.66 + 1.9 * math.exp(-9 * step / steps) + 0.14 * float(noise.normal())
        metrics.append({"step": step, "epoch": step / steps, "loss": loss, "learning_rate": 2e-4, "tokens": 1180})
        timing.append({"step": step, "seconds": 2.7, "tokens_per_second": 437.0, "peak_memory_bytes": 2_140_000_000})
        if step % (steps // 5) == 0:
            metrics.append({"step": step, "validation_loss": 0.7 + 0.9 * math.exp(-7 * step / steps)})
            timing.append({"step": step, "evaluation_seconds": 4.1})
    for name, lines in (("metrics.jsonl", metrics), ("timing.jsonl", timing)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
