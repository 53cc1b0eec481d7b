"""A base with a head: the pretrained network as it is, and a new last layer behind it, or the one that it came with.

`y = W h`, with W drawn from N(0, s^2), s being what the family starts its own weights with: small, so that training
begins near no opinion at all.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from tunesmith.core.errors import UserError
from tunesmith.core.headed import NAME, Head, Mark, Scale
from tunesmith.models.check_config import is_encoder
from tunesmith.models.check_weights import Shapes, read_json

Say = Callable[[str], None]
SCALE = "tunesmith_scale"  # of a regression, in config.json: mean and deviation of what a score of 0 and of 1 stand for


def with_head(config: PreTrainedConfig, head: Head, padding: int | None) -> PreTrainedConfig:
    """`config`, which from now on says what the scores are. UserError for a family that has no such form."""
    if config.model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise UserError(f"base: transformers has no `{config.model_type}` with a head for classes or rewards")
    config.num_labels = len(head.labels)
    config.id2label = dict(enumerate(head.labels))
    config.label2id = {name: number for number, name in enumerate(head.labels)}
    config.problem_type = head.problem
    if head.scale != Scale():
        setattr(config, SCALE, [head.scale.mean, head.scale.deviation])
    text = config.get_text_config()
    if text.pad_token_id is None:  # without it transformers scores one text at a time
        text.pad_token_id = padding
    return config


def folder_head(folder: Path) -> Head | None:
    """-> what the scores of the model in `folder` are, or None: it writes text, or is a base without a head."""
    path = folder / "config.json"
    raw = read_json(path) if path.is_file() else {}
    if not any("ForSequenceClassification" in str(name) for name in raw.get("architectures") or []):
        return None
    labels = raw.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # what transformers means when it writes nothing
    try:
        names = tuple(str(labels[str(number)]) for number in range(len(labels)))
        scale = Scale(*map(float, raw[SCALE])) if SCALE in raw else Scale()
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: `id2label` or `{SCALE}` is damaged ({error}); get the model again") from error
    problem = raw.get("problem_type")
    return Head(names, "regression" if problem == "regression" else "single_label_classification", scale=scale)


def keeps_head(shapes: Shapes, count: int, say: Say) -> bool:
    """Whether the files hold a trained head of `count` scores; says when they hold one of another size."""
    found = _last(shapes)
    if found is None:
        return False
    if shapes[found][0] == count:
        return True
    say(f"the base has a trained head of {shapes[found][0]} scores, and {count} are wanted: it gets a new one")
    return False


def _last(shapes: Shapes) -> str | None:
    """The weight of the last layer of a head, by the names that transformers gives it."""
    ends = ("score.weight", "classifier.out_proj.weight", "classifier.weight")
    return next((name for name in ends if name in shapes), None)


def settle(
    network: PreTrainedModel, found: Mapping[str, Any], head: Head, say: Say, own: dict[int, str] | None
) -> None:
    """Give new parts of the tree their first values and mark them, after the files were read.

    `found`: what transformers says of the files. `own`: the labels of a trained head that is kept.
    """
    misshapen = {entry[0] if isinstance(entry, tuple) else str(entry) for entry in found["mismatched_keys"]}
    missing = set(found["missing_keys"]) | misshapen
    modules = _modules(network, missing)
    fresh = sorted({name for name in missing if _within(name, modules)})
    _draw(network, fresh, head.seed)
    new = any(_within(name, modules[:1]) for name in fresh)
    setattr(network, NAME, Mark(head, modules, is_encoder(network.config.to_dict()), new))
    if fresh:
        numbers = sum(network.get_parameter(name).numel() for name in fresh)
        say(f"{' and '.join(modules)}: new, {numbers} random numbers from seed {head.seed}; the base never had them")
    else:
        say(f"{modules[0]}: the base's own trained head is kept{_renamed(network, modules[0], head, own or {})}")


def _modules(network: PreTrainedModel, missing: set[str]) -> tuple[str, ...]:
    """-> what stands beside the base, the last layer first, and new parts of the base itself (a pooler)."""
    base = network.base_model_prefix
    beside = [n for n, m in network.named_children() if n != base and any(True for _ in m.parameters())]
    inside = {".".join(name.split(".")[:2]) for name in missing if name.startswith(base + ".")}
    strange = sorted(name for name in inside if not name.endswith(".pooler"))
    assert beside, f"{type(network).__name__} has no head"
    if strange:
        first = next(name for name in sorted(missing) if name.startswith(strange[0]))
        raise UserError(f"base: {len(missing)} weights are missing, the first is `{first}`; get the model again")
    beside.sort(key=lambda name: not name.startswith(("score", "classifier")))
    return (*beside, *sorted(inside))


def _within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name.startswith(module + ".") for module in modules)


@torch.no_grad()
def _draw(network: PreTrainedModel, names: list[str], seed: int) -> None:
    spread = float(getattr(network.config.get_text_config(), "initializer_range", None) or 0.02)
    draw = torch.Generator().manual_seed(seed)
    for name in names:
        weight = network.get_parameter(name)
        if weight.ndim > 1:
            weight.copy_(spread * torch.randn(weight.shape, generator=draw))
        else:
            weight.zero_()


def _renamed(network: PreTrainedModel, module: str, head: Head, own: dict[int, str]) -> str:
    """Bring the scores of a kept head into the order of `head.labels`; -> what to say when its names are others."""
    names = [own.get(number, "") for number in range(len(head.labels))]
    if set(names) != set(head.labels):
        return f"; its {', '.join(names)} now stand for {', '.join(head.labels)}"
    order = torch.tensor([names.index(label) for label in head.labels])
    layer: Any = [m for m in network.get_submodule(module).modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        for weight in layer.parameters(recurse=False):
            weight.copy_(weight[order].clone())
    return ""


def own_labels(folder: Path) -> dict[int, str]:
    """-> the names that a folder gives to the scores of its own head."""
    own = folder_head(folder)
    return dict(enumerate(own.labels)) if own else {}
